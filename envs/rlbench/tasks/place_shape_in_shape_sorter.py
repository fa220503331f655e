"""Drop the named shape through its hole into the shape sorter."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from envs.rlbench import sorter
from envs.rlbench.pose import Pose, yaw_pose
from envs.rlbench.sorter import SHAPES
from envs.rlbench.task import Keyframe, Task, facing_down, raised, scatter
from envs.rlbench.world import World
from envs.rlbench.wrist import MIDDLE, comfortable

_BOX = (0.0, -0.15)  # m, root frame
# Where the shapes' middles may lie, m. On the side of the box it ends where a hand would touch the box.
_LOW, _HIGH = (-0.18, 0.05), (0.18, 0.245)
# m between two middles; more than RLBench's 0.05, since the open gripper reaches 0.063 to both sides of a shape.
_DISTANCE = 0.085
_TABLE = -0.002  # m
_GRASP = 0.012  # m: how far above a shape's middle it is taken, at most
_OVER, _RELEASE = 0.208, 0.143  # m: heights of the tip over the lid, whose top is at 0.130


class PlaceShapeInShapeSorter(Task):
    """Variation: 0 cube, 1 cylinder, 2 triangular prism, 3 star, 4 moon."""

    name = "place_shape_in_shape_sorter"
    variations = 5
    extent = (-0.2105, 0.2105, -0.239, 0.2755)
    graspable = tuple(shape.name for shape in SHAPES)

    def assets(self) -> str:
        """The lid's pieces and the shapes."""
        return sorter.assets()

    def bodies(self) -> str:
        """The box, the five shapes, and the volume inside the box."""
        x, y = _BOX
        return f"""
        <body name="root">{sorter.box(x, y)}
          <geom name="inside" class="sensor" type="box" size=".08 .08 .05" pos="{x} {y} .049"/>
        </body>{sorter.bodies()}"""

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """Scatters the shapes before the box, each turned at random."""
        self._shape = SHAPES[variation]
        root = world.pose("root")
        points = scatter(rng, len(SHAPES), _LOW, _HIGH, _DISTANCE)
        for shape, (x, y) in zip(SHAPES, points, strict=True):
            turn = rng.uniform(-np.pi, np.pi)
            world.place(shape.name, root * yaw_pose(x, y, _TABLE + shape.height / 2, turn))

    def success(self, world: World) -> bool:
        """The named shape reaches into the box, through whichever hole; it may still be held."""
        return world.in_sensor(self._shape.name, "inside")

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the shape."""
        title = SHAPES[variation].title
        return (
            f"put the {title} into the shape sorter",
            f"drop the {title} through its hole in the shape sorter",
            f"find the {title} and place it inside the sorting box",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Takes the shape from above, turns it over its hole, lowers it into the hole, lets it fall."""
        piece = world.pose(self._shape.name)
        root = world.pose("root")
        hole = root.at(_BOX[0] + self._shape.hole[0], _BOX[1] + self._shape.hole[1], 0.0)
        period = 2 * np.pi / self._shape.turns
        # The hand may take the shape either way round; then the shape's own symmetry leaves more turns to choose from.
        ways = [
            (half, comfortable(piece.yaw + half, period), comfortable(root.yaw + half, period)) for half in (0.0, np.pi)
        ]
        half, taken, placed = min(ways, key=lambda way: max(abs(way[1] - MIDDLE), abs(way[2] - MIDDLE)))
        height = min(_GRASP, self._shape.height / 2 + 0.001)
        grasp = piece.position + self._offset(taken - half)
        drop = hole + self._offset(placed - half)
        return [
            Keyframe(Pose(raised(grasp, 0.10), facing_down(taken)), True),
            Keyframe(Pose(raised(grasp, height), facing_down(taken)), False),
            Keyframe(Pose(raised(grasp, 0.16), facing_down(taken)), False),
            Keyframe(Pose(raised(drop, _OVER), facing_down(placed)), False),
            Keyframe(Pose(raised(drop, _RELEASE), facing_down(placed)), True, linear=True),
        ]

    def _offset(self, turn: float) -> np.ndarray:
        """From the shape's origin to between the finger tips, when the shape is turned."""
        return Rotation.from_euler("z", turn).apply([*self._shape.grasp, 0.0])
