"""Push a block over the table onto the square of the named colour."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from envs.rlbench.pose import Pose
from envs.rlbench.task import Keyframe, Task, facing_down, half_turn
from envs.rlbench.world import World

_COLORS = {"green": ".1 .62 .16 1", "blue": ".08 .2 .85 1", "pink": ".95 .45 .75 1", "yellow": ".95 .88 .1 1"}
_SQUARES = ((0.025, 0.150), (0.225, 0.075), (0.025, -0.300), (-0.219, -0.129))  # m, root frame
_BLOCK = (0.025, -0.025)
_HALF = 0.028  # m, half the block's edge
_Z = 0.027
_STANDOFF = 0.075  # m from the block's centre to the tip before it touches
_CONTACT = 0.040  # m from the block's centre to the tip while it pushes
# The pushes to each square: (direction, distance of the block's centre) in turn. Pushes run along the block's faces.
_PUSHES = (
    (((0, 1), 0.165),),
    (((1, 0), 0.200), ((0, 1), 0.090)),
    (((0, -1), 0.265),),
    (((-1, 0), 0.244), ((0, -1), 0.095)),
)


class SlideBlockToColorTarget(Task):
    """Variation: 0 green, 1 blue, 2 pink, 3 yellow."""

    name = "slide_block_to_color_target"
    variations = 4
    extent = (-0.269, 0.275, -0.350, 0.200)

    def bodies(self) -> str:
        """Four flat squares with a sensor above each, and the block."""
        xml = '<body name="root">'
        for (color, rgba), (x, y) in zip(_COLORS.items(), _SQUARES, strict=True):
            xml += f"""
            <geom class="visual" type="box" size=".05 .05 .0005" pos="{x} {y} -.0012" rgba="{rgba}"/>
            <geom name="on_{color}" class="sensor" type="box" size=".05 .05 .05" pos="{x} {y} .051"/>"""
        return f"""{xml}</body>
        <body name="block"><freejoint/>
          <geom class="object" type="box" size="{_HALF} {_HALF} {_HALF}" mass=".356" friction=".6 .01 .001"
                rgba=".85 .1 .1 1"/>
        </body>"""

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """The block stands at its place between the squares."""
        self._variation = variation
        root = world.pose("root")
        world.place("block", Pose(root.at(*_BLOCK, _HALF - 0.001), root.rotation))

    def success(self, world: World) -> bool:
        """Any part of the block is over the named square."""
        return world.in_sensor("block", f"on_{tuple(_COLORS)[self._variation]}")

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the colour."""
        color = tuple(_COLORS)[variation]
        return (
            f"slide the block onto the {color} square",
            f"push the cube until it is on the {color} target",
            f"move the block to the {color} area by pushing it",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Behind the block with closed fingers, then forward; once or twice."""
        root = world.pose("root")
        x, y = _BLOCK
        keyframes = []
        for i, ((dx, dy), distance) in enumerate(_PUSHES[self._variation]):
            # The hand's narrow side faces the push: both finger tips touch the block's face side by side.
            rotation = facing_down(half_turn(root.yaw + np.arctan2(dy, dx)))
            if i > 0:
                # Up and around the corner of the block before the second push.
                keyframes.append(_frame(root, x - dx * 0.11, y - dy * 0.11, 0.12, rotation))
            keyframes.append(_frame(root, x - dx * _STANDOFF, y - dy * _STANDOFF, _Z, rotation))
            x, y = x + dx * distance, y + dy * distance
            keyframes.append(_frame(root, x - dx * _CONTACT, y - dy * _CONTACT, _Z, rotation, linear=True))
        return keyframes


def _frame(root: Pose, x: float, y: float, z: float, rotation: Rotation, linear: bool = False) -> Keyframe:
    return Keyframe(Pose(root.at(x, y, z), rotation), False, linear)
