"""Put the square ring onto the pillar of the named colour."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from envs.rlbench.palette import COLOR_NAMES, PALETTE, others_than
from envs.rlbench.pose import Pose, yaw_pose
from envs.rlbench.task import Keyframe, Task, facing_down, raised
from envs.rlbench.world import World
from envs.rlbench.wrist import comfortable, equivalent

_PILLARS = ((-0.125, -0.075), (0.0, -0.075), (0.125, -0.075))  # m, root frame
_RING = 0.025  # m: half its width
_HOLE = 0.0155  # m: half the hole's width; 3 mm more than the pillar's, so the ring falls down along it
_THICK = 0.005  # m: half the ring's height
_REST_Z = 0.003  # m: the ring's middle on the table
_LOW, _HIGH = (-0.2, 0.0), (0.2, 0.2)  # m: where the ring may lie
_GRASP = 0.007  # m above the ring's middle: the pads, which reach below the tip, stay clear of the table
_CARRY, _RELEASE = 0.217, 0.129  # m: heights over the pillar, whose top is at 0.14
# Detectors around the target pillar: middle and half size in its frame. The ring must reach into all four.
_DETECTORS = (
    ("0 .020 .025", ".02 .005 .025"),
    ("0 -.023 .025", ".02 .005 .025"),
    ("-.020 -.005 .025", ".005 .02 .025"),
    (".020 -.005 .025", ".005 .02 .025"),
)


class InsertOntoSquarePeg(Task):
    """Variation: palette index of the target pillar's colour."""

    name = "insert_onto_square_peg"
    variations = 20
    extent = (-0.2, 0.2, -0.125, 0.2)
    graspable = ("ring",)

    def bodies(self) -> str:
        """A base with three square pillars, a square ring of four bars, and the detectors around one pillar."""
        pillars = "".join(
            f'<geom name="pillar{i}" class="static" type="box" size=".0125 .0125 .06" pos="{x} {y} .08"'
            ' friction=".3 .01 .001"/>'
            for i, (x, y) in enumerate(_PILLARS)
        )
        middle, half = (_RING + _HOLE) / 2, (_RING - _HOLE) / 2
        bars = "".join(
            f'<geom class="object" type="box" size="{size} {_THICK}" pos="{position} 0" mass=".005"'
            ' friction=".3 .01 .001" rgba="1 .60 .68 1"/>'
            for size, position in (
                (f"{half} {_RING}", f"{middle} 0"),
                (f"{half} {_RING}", f"{-middle} 0"),
                (f"{_HOLE} {half}", f"0 {middle}"),
                (f"{_HOLE} {half}", f"0 {-middle}"),
            )
        )
        detectors = "".join(
            f'<geom name="detector{i}" class="sensor" type="box" size="{size}" pos="{position}"/>'
            for i, (position, size) in enumerate(_DETECTORS)
        )
        return f"""
        <body name="root">
          <geom class="static" type="box" size=".2 .05 .011" pos="0 -.075 .009" rgba=".50 .35 .22 1"/>
          {pillars}
        </body>
        <body name="goal">{detectors}</body>
        <body name="ring"><freejoint/>{bars}</body>"""

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """Chooses the target pillar, colours all three, and drops the ring somewhere before them."""
        self._target = int(rng.integers(len(_PILLARS)))
        others = others_than(COLOR_NAMES[variation])
        colors = [others[i] for i in rng.choice(len(others), len(_PILLARS), replace=False)]
        colors[self._target] = COLOR_NAMES[variation]
        for i, color in enumerate(colors):
            world.color(f"pillar{i}", PALETTE[color])
        root = world.pose("root")
        world.place("goal", root * Pose(np.array([*_PILLARS[self._target], 0.0]), Rotation.identity()))
        yaw = rng.uniform(-np.pi, np.pi)
        margin = _RING * (abs(np.cos(yaw)) + abs(np.sin(yaw)))
        x, y = rng.uniform(np.add(_LOW, margin), np.subtract(_HIGH, margin))
        world.place("ring", root * yaw_pose(x, y, _REST_Z, yaw))

    def success(self, world: World) -> bool:
        """The ring reaches into the detectors on all four sides of the pillar's foot; it may still be held."""
        return all(world.in_sensor("ring", f"detector{i}") for i in range(len(_DETECTORS)))

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the colour."""
        color = COLOR_NAMES[variation]
        return (
            f"put the square ring onto the {color} pillar",
            f"slide the ring over the {color} peg",
            f"pick up the ring and drop it onto the {color} square peg",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Grasps the ring across, carries it over the pillar, turns its hole to the pillar, lets it fall."""
        root, ring = world.pose("root"), world.pose("ring")
        # Fingers open along that axis of the ring which is nearer to the row of pillars: the hand stays clear of them.
        across = equivalent(ring.yaw - root.yaw, np.pi / 2, np.pi / 4)
        grasp = facing_down(comfortable(root.yaw + across, np.pi))
        turned = facing_down(comfortable(root.yaw, np.pi / 2))
        x, y = _PILLARS[self._target]
        return [
            Keyframe(Pose(raised(ring.position, 0.10), grasp), True),
            Keyframe(Pose(raised(ring.position, _GRASP), grasp), False),
            Keyframe(Pose(raised(ring.position, 0.21), grasp), False),
            Keyframe(Pose(root.at(x, y, _CARRY), turned), False),
            Keyframe(Pose(root.at(x, y, _RELEASE), turned), True, linear=True),
        ]
