"""Stack two, three or four blocks of the named colour on the green platform."""

from collections.abc import Sequence

import numpy as np

from envs.rlbench.palette import COLOR_NAMES, PALETTE, others_than
from envs.rlbench.pose import Pose, yaw_pose
from envs.rlbench.task import Keyframe, PlacementError, Task, facing_down, raised
from envs.rlbench.world import World
from envs.rlbench.wrist import equivalent

_COLORED = 4  # blocks of the named colour, and as many of another
_LEAST = 2  # the smallest stack
_NUMBERS = ("two", "three", "four")
_EDGE = 0.05  # m
_PLATFORM = 0.05  # m, height of the platform in the root's frame
# Where blocks may stand, around the platform: x and y of the centre, half sizes (m, root frame).
_BOUNDARIES = np.array(
    [(0.0, 0.225, 0.3, 0.18), (0.0, -0.225, 0.3, 0.18), (0.175, 0.0, 0.125, 0.05), (-0.175, 0.0, 0.125, 0.05)]
)
_MARGIN = 0.036  # m: half a diagonal, so that a block turned any way is inside its boundary
_GAP = 0.1  # m between centres of blocks, at least
_KEEP_OFF = 0.125  # m from the platform's centre, at least: room for a finger
_TRIES = 200
_GRASP_Z = 0.006  # m over the block's centre
_OVER = 0.08  # m over the place where a block is grasped or put down
_CARRY_Z = 0.19  # m over the table, at least: blocks are carried over others
_DROP = 0.004  # m a block falls


class StackBlocks(Task):
    """Variation v: colour v // 3 of the palette, 2 + v % 3 blocks."""

    name = "stack_blocks"
    variations = 60
    extent = (-0.3, 0.3, -0.405, 0.405)
    graspable = tuple(f"{kind}{i}" for kind in ("target", "distractor") for i in range(_COLORED))

    def bodies(self) -> str:
        """The platform with the sensor over it, and eight blocks."""
        blocks = "".join(
            f"""
            <body name="{name}"><freejoint/>
              <geom name="{name}" class="object" type="box" size=".025 .025 .025" mass=".125"/>
            </body>"""
            for name in self.graspable
        )
        return f"""
        <body name="root">
          <geom class="static" type="box" size=".0375 .0375 .026" pos="0 0 .024" rgba=".05 .40 .12 1"/>
          <geom class="visual" type="box" size=".033 .033 .0005" pos="0 0 .0501" rgba=".93 .95 .93 1"/>
          <geom class="visual" type="box" size=".028 .028 .0005" pos="0 0 .0506" rgba=".12 .66 .25 1"/>
          <geom name="over_platform" class="sensor" type="box" size=".005 .005 .1" pos="0 0 .125"/>
        </body>{blocks}"""

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """Scatters the blocks around the platform; the distractors share one other colour."""
        self._count = _LEAST + variation % len(_NUMBERS)
        color = COLOR_NAMES[variation // len(_NUMBERS)]
        others = others_than(color)
        other = others[int(rng.integers(len(others)))]
        root = world.pose("root")
        for i, (x, y) in enumerate(_around_platform(rng, len(self.graspable))):
            name = self.graspable[i]
            world.place(name, root * yaw_pose(x, y, _EDGE / 2 - 0.001, rng.uniform(-np.pi, np.pi)))
            world.color(name, PALETTE[color if i < _COLORED else other])

    def success(self, world: World) -> bool:
        """As many blocks as named are in the narrow column over the platform, and nothing is held."""
        stacked = sum(world.in_sensor(f"target{i}", "over_platform") for i in range(_COLORED))
        return stacked >= self._count and world.released

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the number and the colour."""
        number = _NUMBERS[variation % len(_NUMBERS)]
        color = COLOR_NAMES[variation // len(_NUMBERS)]
        return (
            f"stack {number} {color} blocks on the platform",
            f"build a tower of {number} {color} cubes on the raised square",
            f"put {number} of the {color} blocks on top of each other on the platform",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """The blocks nearest to the platform first: above, grasp, lift, over the stack, put down, retreat."""
        root = world.pose("root")
        blocks = [world.pose(f"target{i}") for i in range(_COLORED)]
        blocks.sort(key=lambda block: float(np.linalg.norm(block.position[:2] - root.position[:2])))
        keyframes = []
        # Straight lines all the way but the first: an arm that swings around would hit other blocks or the stack.
        for level, block in enumerate(blocks[: self._count]):
            take, lay = facing_down(_unturned(block.yaw)), facing_down(_unturned(root.yaw))
            grasp = raised(block.position, _GRASP_Z)
            goal = root.at(0, 0, _PLATFORM + (level + 0.5) * _EDGE + _DROP + _GRASP_Z)
            carry = max(_CARRY_Z, goal[2] + _OVER - root.position[2])
            keyframes += [
                Keyframe(Pose(raised(grasp, _OVER), take), True, linear=level > 0),
                Keyframe(Pose(grasp, take), False, linear=True),
                Keyframe(Pose(raised(grasp, carry - _EDGE / 2), take), False, linear=True),
                Keyframe(Pose(raised(goal, _OVER), lay), False, linear=True),
                Keyframe(Pose(goal, lay), True, linear=True),
                Keyframe(Pose(raised(goal, _OVER), lay), True, linear=True),
            ]
        return keyframes[:-1]


def _around_platform(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """Points in the boundaries that keep their distances, m, root frame.

    Raises:
        PlacementError: No arrangement was found.
    """
    areas = np.prod(_BOUNDARIES[:, 2:], axis=1)
    points: list[np.ndarray] = []
    for _ in range(_TRIES):
        boundary = _BOUNDARIES[rng.choice(len(_BOUNDARIES), p=areas / areas.sum())]
        reach = boundary[2:] - _MARGIN
        point = boundary[:2] + rng.uniform(-reach, reach)
        if np.linalg.norm(point) > _KEEP_OFF and all(np.linalg.norm(point - other) > _GAP for other in points):
            points.append(point)
        if len(points) == count:
            return points
    raise PlacementError(f"no room for {count} blocks {_GAP} m apart")


def _unturned(yaw: float) -> float:
    """The equivalent of a yaw under quarter turns nearest to zero: a square block looks the same."""
    return equivalent(yaw, np.pi / 2, -np.pi / 4)
