"""What a task with moving objects is: objects, how they move, sentences, success condition, expert."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from envs.dynamic.cameras import cameras_xml
from envs.dynamic.servo import CONTROL_HZ, TARGET_HIGH
from envs.rlbench.blueprint import Blueprint
from envs.rlbench.palette import PALETTE
from envs.rlbench.pose import Pose
from envs.rlbench.task import facing_down
from envs.rlbench.world import World

# A variation names one of them; the second object of the scene has another one.
COLORS = ("red", "green", "blue", "yellow")
TABLE = 0.750  # m
TICK_S = 1.0 / CONTROL_HZ


@dataclass(frozen=True)
class Command:
    """An expert's action.

    Attributes:
        position: Of the tip, m, world. The hand faces down; its fingers open along the world's y axis.
        open: Gripper state.
        on_the_way: It only leads to where the expert does something: it may be missed by a little.
    """

    position: Float[np.ndarray, "3"]
    open: bool
    on_the_way: bool = False

    @property
    def pose(self) -> Pose:
        """The tip pose."""
        return Pose(self.position, facing_down(0.0))


class DynamicTask(Blueprint):
    """One task. Instances hold what an episode needs to remember; `place` starts a new episode.

    Object 0 of a scene is the one that the sentence names, object 1 has another colour.

    Attributes:
        name: Task name.
        variations: One for each colour.
        start: Tip position at the start, m.
        tool: Free body mounted on the hand, if any: it is put at the tip, and the gripper stays closed.
        farthest: x that the tip does not go beyond, whatever it is sent to, m.
        hold_s: How long `achieved` must hold without a break, s.
    """

    name: ClassVar[str]
    variations: ClassVar[int] = len(COLORS)
    start: ClassVar[tuple[float, float, float]] = (0.25, 0.0, 1.0)
    tool: ClassVar[str | None] = None
    farthest: ClassVar[float] = TARGET_HIGH[0]
    hold_s: ClassVar[float]

    def bodies(self) -> str:
        """The scene and the suite's cameras."""
        return self.scene() + cameras_xml()

    @abstractmethod
    def scene(self) -> str:
        """MJCF of the task's bodies. The geoms "paint<i>" show the colour of object i."""

    @abstractmethod
    def place(self, world: World, rng: np.random.Generator) -> None:
        """Puts the objects where they start, at rest, and draws how they will move."""

    @abstractmethod
    def drive(self, world: World, seconds: float) -> None:
        """Moves by so much time what does not move by physics alone; called every 10 ms, first when time starts."""

    @abstractmethod
    def achieved(self, world: World) -> bool:
        """What must hold for `hold_s`, from the state."""

    @abstractmethod
    def lost(self, world: World) -> bool:
        """The task can no longer be solved: the episode ends."""

    @abstractmethod
    def instructions(self, color: str) -> Sequence[str]:
        """Sentences that name the goal; an episode draws one."""

    @abstractmethod
    def expert(self, world: World) -> Command:
        """What to do now, from the state as it is: experts remember nothing and look one tick ahead, no further."""

    def paint(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """Gives object 0 the variation's colour and object 1 another one."""
        other = (variation + int(rng.integers(1, len(COLORS)))) % len(COLORS)
        for i, color in enumerate((COLORS[variation], COLORS[other])):
            world.color(f"paint{i}", PALETTE[color])


def drawn_speed(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """A speed drawn uniformly between two."""
    return float(rng.uniform(*bounds))
