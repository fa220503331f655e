"""Open a drawer, then put the block that lies on the chest into it."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from envs.rlbench.cabinet import DRAWERS, cabinet, pull_open
from envs.rlbench.pose import Pose
from envs.rlbench.task import Keyframe, Task, facing_down, half_turn, raised
from envs.rlbench.world import World

_CABINET = (0.025, -0.175)  # m, in the root's frame
_ITEM = (0.050, -0.150, 0.489)
_PULL = 0.20  # m
_DROP_Y = 0.145  # m: over the open drawer
_OVER_Z = 0.613  # m: height of the way between the open drawer and the block
_DROP_Z = {"bottom": 0.205, "middle": 0.325, "top": 0.445}


class PutItemInDrawer(Task):
    """Variation: 0 bottom, 1 middle, 2 top."""

    name = "put_item_in_drawer"
    variations = 3
    extent = (-0.167, 0.217, -0.371, 0.333)
    yaw_bounds = (-np.pi / 8, np.pi / 8)
    graspable = ("item",)

    def bodies(self) -> str:
        """The chest and the block."""
        return f"""
        <body name="root">{cabinet(*_CABINET)}</body>
        <body name="item"><freejoint/>
          <geom class="object" type="box" size=".02 .02 .02" mass=".064" rgba=".86 .16 .14 1"/>
        </body>"""

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """The block lies at its place on the chest."""
        self._drawer = DRAWERS[variation]
        root = world.pose("root")
        world.place("item", Pose(root.at(*_ITEM), root.rotation))

    def success(self, world: World) -> bool:
        """The block is inside the named drawer; it may still be held."""
        return world.in_sensor("item", f"inside_{self._drawer}")

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the drawer."""
        drawer = DRAWERS[variation]
        return (
            f"put the block in the {drawer} drawer",
            f"open the {drawer} drawer and drop the item into it",
            f"store the red block inside the {drawer} drawer",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Pulls the drawer open, fetches the block from above, drops it."""
        root, item = world.pose("root"), world.pose("item")
        front, grasp, pulled = pull_open(world, self._drawer, _PULL)
        away = pulled.pose * Pose(np.array([0.0, 0.0, -0.09]), Rotation.identity())
        # Fingers open along the front of the chest, so that the hand fits between drawer front and chest.
        down = facing_down(half_turn(root.yaw + np.pi / 2))
        z = _DROP_Z[self._drawer]
        return [
            front,
            grasp,
            Keyframe(pulled.pose, True),
            Keyframe(away, True),
            Keyframe(Pose(root.at(_CABINET[0], _DROP_Y, _OVER_Z), down), True),
            Keyframe(Pose(raised(item.position, 0.09), down), True),
            Keyframe(Pose(raised(item.position, 0.004), down), False),
            Keyframe(Pose(raised(item.position, 0.11), down), False),
            Keyframe(Pose(root.at(_CABINET[0], _DROP_Y, _OVER_Z), down), False),
            Keyframe(Pose(root.at(_CABINET[0], _DROP_Y, z), down), True),
        ]
