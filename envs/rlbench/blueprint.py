"""What a world is compiled from besides the lab and the robot."""

from abc import ABC, abstractmethod
from typing import ClassVar

from envs.rlbench.world import Quality, World


class Blueprint(ABC):
    """The MJCF of a task's objects.

    Attributes:
        graspable: Free bodies that a closed gripper may hold.
    """

    graspable: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def bodies(self) -> str:
        """MJCF of the task's bodies."""

    def assets(self) -> str:
        """MJCF assets: meshes (see `shapes`), textures, materials."""
        return ""

    def files(self) -> dict[str, bytes]:
        """Files that the assets name, such as PNG textures."""
        return {}


def compile_world(task: type[Blueprint], quality: Quality, size: tuple[int, int] = (128, 128)) -> World:
    """The world of a task; see `World`."""
    blueprint = task()
    return World(blueprint.assets(), blueprint.files(), blueprint.bodies(), task.graspable, quality, size)
