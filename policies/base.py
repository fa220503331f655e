"""The policy interface: two methods and two facts."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from envs.spec import InputError, Observation, TaskSpec
from model.actions import ACTION_DIM, ActionConvention, ActionError

if TYPE_CHECKING:
    from envs.spec import Env


@dataclass(frozen=True)
class PolicySpec:
    """What a policy needs from a task.

    Attributes:
        convention: Meaning of its actions; None for policies that adapt to the task's (the reference policies).
        horizon: Actions in a chunk.
        cameras: Cameras it reads; empty when it takes them as they come.
        blind: It looks at no picture at all; the runner then spares the simulator taking them.
    """

    convention: ActionConvention | None
    horizon: int
    cameras: tuple[str, ...] = ()
    blind: bool = False


@dataclass(frozen=True)
class PolicyInfo:
    """What a record says about a policy.

    Attributes:
        name: Name in tables.
        objective: Training objective; None for policies that were not trained.
        nfe: Forward passes of the head for one chunk (number of function evaluations).
        parameters: Number of parameters.
        checkpoint_sha256: Hash of the weights file; None without one.
        privileged: It sees simulator state that a robot would not have.
    """

    name: str
    objective: str | None = None
    nfe: int = 0
    parameters: int = 0
    checkpoint_sha256: str | None = None
    privileged: bool = False


@dataclass(frozen=True)
class ActionChunk:
    """Actions to play in order, and what the call cost.

    Attributes:
        actions: float32 [T, 128], T >= 1.
        spans: Wall time of the call's parts in seconds, such as "preprocess", "backbone", "head", "postprocess".
    """

    actions: Float32[np.ndarray, "T 128"]
    spans: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = np.shape(self.actions)
        if len(shape) != 2 or shape[0] < 1 or shape[1] != ACTION_DIM:
            raise ActionError(f"an action chunk has shape [T >= 1, {ACTION_DIM}], got {list(shape)}")


class Policy(ABC):
    """Maps observations to action chunks. Works in any Gymnasium loop; the runner plays the chunks."""

    spec: PolicySpec
    info: PolicyInfo

    @abstractmethod
    def reset(self, task: TaskSpec, seed: int) -> None:
        """Starts an episode. All randomness of the episode must come from `seed`."""

    @abstractmethod
    def act(self, obs: Observation) -> ActionChunk:
        """Chooses the next actions."""

    def attach(self, env: "Env") -> None:  # noqa: B027
        """Called once before `reset`; privileged policies (the expert) keep the environment, others ignore it."""


def check_compatible(policy: Policy, task: TaskSpec) -> None:
    """Refuses a policy whose actions or cameras do not fit the task.

    Raises:
        InputError: Names the field that differs and both values.
    """
    convention = policy.spec.convention
    if convention is not None and convention != task.convention:
        differing = [
            f"{name}: policy {getattr(convention, name)!r}, task {getattr(task.convention, name)!r}"
            for name in ("embodiment", "frame", "rotation", "gripper", "control_mode")
            if getattr(convention, name) != getattr(task.convention, name)
        ]
        raise InputError(
            f"policy {policy.info.name!r} does not fit task {task.suite}/{task.task}: {'; '.join(differing)}. "
            "Use a policy trained for this suite."
        )
    missing = sorted(set(policy.spec.cameras) - {camera.name for camera in task.cameras})
    if missing:
        raise InputError(
            f"policy {policy.info.name!r} needs camera(s) {', '.join(missing)}, which task {task.suite}/{task.task} "
            f"does not have (it has {', '.join(camera.name for camera in task.cameras)}). Use another policy or suite."
        )
