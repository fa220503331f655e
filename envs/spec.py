"""What an environment adapter offers: episodes, task facts, and the environment interface."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from model.actions import EMBODIMENTS, ActionConvention, Embodiment

# One observation, as every policy receives it:
#     images          dict: camera name -> uint8 [height, width, 3], RGB
#     proprioception  float32 [P]; the meaning of each entry is `TaskSpec.proprioception`
#     instruction     str, the sentence that names the goal
Observation = dict[str, Any]


class InputError(ValueError):
    """A mistake in what the user asked for. The message ends with the remedy; the CLI exits with code 2."""


class SimulatorError(RuntimeError):
    """The simulator broke (not the policy). The runner restarts it and tries the episode once more."""


@dataclass(frozen=True, order=True)
class Episode:
    """One trial. Its initial state is a function of suite, task, variation and seed alone.

    Attributes:
        suite: Suite name.
        task: Task name.
        variation: Variation of the task.
        seed: Seed of the initial state.
        repeat: Which trial from this initial state it is; the policy's seed differs from repeat to repeat.
    """

    suite: str
    task: str
    variation: int
    seed: int
    repeat: int = 0

    @property
    def id(self) -> str:
        """Stable identifier, unique within a suite."""
        first = f"{self.task}/v{self.variation:03d}/s{self.seed}"
        return first if self.repeat == 0 else f"{first}/r{self.repeat}"


@dataclass(frozen=True)
class Camera:
    """A camera of the observation.

    Attributes:
        name: Camera name.
        height: Pixels.
        width: Pixels.
        fov: Vertical field of view, degrees; None where the camera is not calibrated (the pose is void then).
        mount: "world", or "eef" for a camera that moves with the end effector.
        position: In the mount's frame, m.
        quaternion: Rotation of the camera's axes (right, up, backward) in the mount's frame, xyzw.
    """

    name: str
    height: int
    width: int
    fov: float | None = None
    mount: str = "world"
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    quaternion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class TaskSpec:
    """The facts of a task that a policy may rely on, and that enter the protocol hash.

    Attributes:
        suite: Suite name.
        task: Task name.
        cameras: Cameras of the observation, in order.
        proprioception: Name of each entry of the proprioception vector. End-effector poses use the names eef_x, eef_y,
            eef_z (m, frame of the convention), eef_qx, eef_qy, eef_qz, eef_qw; the gripper `gripper_open` (0 .. 1).
        convention: Meaning of an action.
        control_hz: Control rate in Hz; None for keyframe control (one action is one planned motion).
        max_steps: Actions after which the episode ends.
        success_rule: The headline number: "success_once" or "success_at_end".
        variations: Number of variations.
        simulator: Name of the simulator.
        simulator_version: Its version.
        adapter_version: Raised by the adapter's author whenever a change could move a number.
        action_low: Lower bound of each native action entry (what the random policy samples from).
        action_high: Upper bound.
    """

    suite: str
    task: str
    cameras: tuple[Camera, ...]
    proprioception: tuple[str, ...]
    convention: ActionConvention
    control_hz: float | None
    max_steps: int
    success_rule: str
    variations: int
    simulator: str
    simulator_version: str
    adapter_version: int
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]

    @property
    def embodiment(self) -> Embodiment:
        """The embodiment that the convention names."""
        return EMBODIMENTS[self.convention.embodiment]


@dataclass(frozen=True)
class StepInfo:
    """What happened in one action.

    Attributes:
        success: The success condition held at any time during this action.
        failure: Why the action could not be carried out; ends the episode as a failure. None when it could.
        planner_failure: The failure came from the motion planner (unreachable pose, no path).
        seconds: Wall time by part of the simulator ("physics", "rendering", "planning").
    """

    success: bool = False
    failure: str | None = None
    planner_failure: bool = False
    seconds: dict[str, float] = field(default_factory=dict)


class StepResult(NamedTuple):
    """Return value of `Env.step`. `done` is true when the adapter ends the episode (early success, failed action)."""

    observation: Observation
    done: bool
    info: StepInfo


class Env(ABC):
    """One task of one simulator. One instance a process: simulators own GL contexts and global state.

    Attributes:
        spec: The task's facts.
        wait_hz: Ticks of `wait` a second, under keyframe control; None where time cannot pass between two actions.
        observing: False allows `step` to leave observations empty, which saves their pictures; the motion is the same.
        picturing: False allows observations without pictures (`images` is empty), for who looks at none; likewise.
    """

    spec: TaskSpec
    wait_hz: float | None = None
    observing: bool = True
    picturing: bool = True

    @abstractmethod
    def reset(self, episode: Episode) -> Observation:
        """Puts the scene into the episode's initial state, whatever was played before.

        Raises:
            InputError: The variation does not exist.
            SimulatorError: The simulator cannot produce the state.
        """

    @abstractmethod
    def step(self, action: Float32[np.ndarray, "128"]) -> StepResult:
        """Carries out one action. An action that cannot be executed is a failure in `StepInfo`, not an exception."""

    @abstractmethod
    def hold_action(self) -> Float32[np.ndarray, "128"]:
        """The action that keeps the robot where it is. No default: zero means "go to the origin" in many modes."""

    def wait(self, ticks: int) -> tuple[bool, StepInfo]:
        """Lets simulated time pass under keyframe control, while the robot holds still. No action, and no step.

        Adapters that offer it set `wait_hz`. Under a control rate the runner plays the hold action instead. Nobody
        looks meanwhile: the next observation is that of the next `step`.

        Args:
            ticks: Ticks of 1 / `wait_hz` seconds, at least 1.

        Returns:
            `done` and `info`, as in `StepResult`.

        Raises:
            NotImplementedError: The adapter does not offer it.
        """
        raise NotImplementedError(f"{self.spec.simulator} cannot let time pass between two actions")

    @abstractmethod
    def render(self, height: int = 480, width: int = 640) -> UInt8[np.ndarray, "h w 3"]:
        """A picture for people, RGB; not part of the observation."""

    def change_task(self, task: str) -> bool:
        """Turns to another task of the suite in the same simulator. False where a new environment must be built.

        Raises:
            SimulatorError: The simulator broke; only `close` may be called then.
        """
        return False

    def close(self) -> None:  # noqa: B027
        """Frees the simulator. Safe to call twice."""

    def expert_action(self) -> Float32[np.ndarray, "128"]:
        """The scripted expert's next action from privileged state. Called once before each `step` of an episode.

        Raises:
            NotImplementedError: The task has no expert.
        """
        raise NotImplementedError(f"{self.spec.task} has no scripted expert")
