"""What a task of the embedded RLBench is: objects, placement, sentences, success condition, expert keyframes."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from envs.rlbench.blueprint import Blueprint
from envs.rlbench.lab import WORKSPACE_HIGH, WORKSPACE_LOW, WORKSPACE_Z
from envs.rlbench.pose import Pose, yaw_pose
from envs.rlbench.world import World
from envs.rlbench.wrist import equivalent

_PLACEMENT_TRIES = 200


@dataclass(frozen=True)
class Keyframe:
    """What the expert does next.

    Attributes:
        pose: Tip pose to drive to, world frame.
        open: Gripper state to take there.
        linear: The way there must be a straight line (the gripper holds or pushes something that is not free to
            follow another); a placement where the arm cannot follow that line is drawn again.
    """

    pose: Pose
    open: bool
    linear: bool = False


class PlacementError(RuntimeError):
    """No placement was found that satisfies the task's rules."""


class Task(Blueprint):
    """One task. Instances hold what an episode needs to remember; `place` starts a new episode.

    The body "root" of its `bodies` holds what is fixed to the task's frame.

    Attributes:
        name: Task name, as in RLBench.
        variations: Number of variations.
        extent: x low, x high, y low, y high of the task in its root frame, m; the workspace must hold it.
        yaw_bounds: Range of the root's rotation about z, rad.
    """

    name: ClassVar[str]
    variations: ClassVar[int]
    extent: ClassVar[tuple[float, float, float, float]]
    yaw_bounds: ClassVar[tuple[float, float]] = (-np.pi, np.pi)

    @abstractmethod
    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """Puts objects and colours in place; the root has been placed before."""

    def start(self, world: World) -> None:
        """Called when the scene has settled: remembers what success is measured against."""

    def update(self, world: World) -> None:
        """Called every 0.06 s of an episode before `success`: latches what must not be forgotten."""

    @abstractmethod
    def success(self, world: World) -> bool:
        """The success condition, from the state."""

    @abstractmethod
    def instructions(self, variation: int) -> Sequence[str]:
        """Sentences that name the goal; an episode draws one."""

    @abstractmethod
    def expert(self, world: World) -> list[Keyframe]:
        """Keyframes that solve the task from the state right after reset."""

    # -- placement ---------------------------------------------------------------------------------------------

    def place_root(self, world: World, rng: np.random.Generator) -> None:
        """Samples the root's pose so that the task's extent, turned, lies within the workspace.

        Raises:
            PlacementError: No pose was found.
        """
        x0, x1, y0, y1 = self.extent
        corners = np.array([(x0, y0), (x0, y1), (x1, y0), (x1, y1)])
        for _ in range(_PLACEMENT_TRIES):
            yaw = rng.uniform(*self.yaw_bounds)
            c, s = np.cos(yaw), np.sin(yaw)
            turned = corners @ np.array([(c, s), (-s, c)])
            low, high = WORKSPACE_LOW - turned.min(axis=0), WORKSPACE_HIGH - turned.max(axis=0)
            if (low <= high).all():
                x, y = rng.uniform(low, high)
                world.place("root", yaw_pose(x, y, WORKSPACE_Z, yaw))
                world.forward()
                return
        raise PlacementError(f"{self.name}: the task does not fit the workspace")


def scatter(
    rng: np.random.Generator,
    count: int,
    low: Sequence[float],
    high: Sequence[float],
    distance: float,
) -> np.ndarray:
    """Points in a rectangle that keep a distance from one another.

    Args:
        rng: Source of randomness.
        count: Number of points.
        low: Least x and y, m.
        high: Greatest x and y, m.
        distance: Least distance between two points, m.

    Returns:
        [count, 2], m.

    Raises:
        PlacementError: No arrangement was found.
    """
    for _ in range(_PLACEMENT_TRIES):
        points = rng.uniform(low, high, size=(count, 2))
        gaps = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.eye(count) * 10
        if gaps.min() >= distance:
            return points
    raise PlacementError(f"no room for {count} objects {distance} m apart")


def raised(position: Float[np.ndarray, "3"], height: float) -> Float[np.ndarray, "3"]:
    """The point `height` metres above another."""
    return position + np.array([0.0, 0.0, height])


def facing_down(yaw: float) -> Rotation:
    """Tip rotation with the approach straight down; `yaw` turns the start orientation about the vertical, rad.

    The fingers open along the tip's y axis, which lies at `yaw` from the world's y axis.
    """
    return Rotation.from_euler("z", yaw) * Rotation.from_quat([0.0, 1.0, 0.0, 0.0])


def half_turn(yaw: float, low: float = -np.pi / 2) -> float:
    """The equivalent of a yaw under half turns (a parallel gripper does not tell them apart) in [low, low + pi)."""
    return equivalent(yaw, np.pi, low)


def approach(direction: Sequence[float], opening: Sequence[float]) -> Rotation:
    """Tip rotation from its approach direction and the axis along which the fingers open (both world frame).

    Args:
        direction: Unit vector the gripper points along.
        opening: Unit vector perpendicular to it.
    """
    z, y = np.asarray(direction, dtype=float), np.asarray(opening, dtype=float)
    return Rotation.from_matrix(np.stack([np.cross(y, z), y, z], axis=1))
