"""Open the bottom, middle or top drawer of a chest."""

from collections.abc import Sequence

import numpy as np

from envs.rlbench.cabinet import DRAWERS, cabinet, drawer_moved, pull_open
from envs.rlbench.task import Keyframe, Task
from envs.rlbench.world import World


class OpenDrawer(Task):
    """Variation: 0 bottom, 1 middle, 2 top."""

    name = "open_drawer"
    variations = 3
    extent = (-0.192, 0.192, -0.197, 0.432)
    yaw_bounds = (-np.pi / 8, np.pi / 8)

    def bodies(self) -> str:
        """The chest."""
        return f'<body name="root">{cabinet()}</body>'

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """The chest moves with the root; nothing else is random."""
        self._drawer = DRAWERS[variation]

    def start(self, world: World) -> None:
        """Remembers where the drawer stood."""
        self._closed = world.joint(f"drawer_{self._drawer}")

    def success(self, world: World) -> bool:
        """The named drawer moved by more than 0.15 m."""
        return drawer_moved(world, self._drawer, self._closed)

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the drawer."""
        drawer = DRAWERS[variation]
        return (
            f"open the {drawer} drawer",
            f"pull the {drawer} drawer out by its handle",
            f"grip the {drawer} handle and slide the {drawer} drawer open",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """In front of the handle, grasp, pull by 0.235 m."""
        return pull_open(world, self._drawer, 0.235)
