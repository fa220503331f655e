"""A task of RLBench on CoppeliaSim: keyframe control by RLBench's own planner and gripper modes."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, UInt8

from envs.coppeliasim import install
from envs.coppeliasim.demos import same_scene, starting_demo
from envs.coppeliasim.keyframes import Keyframe, keyframes
from envs.coppeliasim.observe import observation_config, observe, switch_cameras
from envs.coppeliasim.rng import OwnGenerator, seed_global
from envs.coppeliasim.studio import Studio
from envs.rlbench.facts import keyframe_task
from envs.rlbench.state import positive
from envs.spec import Env, Episode, InputError, Observation, SimulatorError, StepInfo, StepResult, TaskSpec
from envs.suite import Suite
from model.actions import GRIPPER, POSITION, QUATERNION, ActionError, check_action

# Raise whenever a change could move a number.
ADAPTER_VERSION = 2
# The fork's ninth number. Our actions have none: the fork plans without regard to collisions, as upstream does.
_IGNORE_COLLISIONS = 1.0
# RLBench plans with a sampler that cannot be seeded: what fails once may succeed.
_ATTEMPTS = 10
_REMEDY = "Check DISPLAY, COPPELIASIM_ROOT, and that CoppeliaSim, PyRep and RLBench fit each other"


def task_spec(suite: Suite, task: str) -> TaskSpec:
    """The facts of a task, without launching the simulator.

    Raises:
        InputError: RLBench is not installed, or lacks the task.
    """
    version = install.installed().version
    install.task_class(suite, task)
    return keyframe_task(suite, task, suite.tasks[task], "coppeliasim", version, ADAPTER_VERSION)


class CoppeliaEnv(Env):
    """A task of RLBench, `MoveArmThenGripper(EndEffectorPoseViaPlanning, Discrete)`.

    One action is a tip pose (world, m, quaternion xyzw) and a gripper state (open > 0.5). The instruction is RLBench's
    first description of the variation, as in PerAct's evaluation. Episodes are drawn by RLBench from the global NumPy
    generator, seeded by the episode, or start as stored demonstrations do. The caller's global generator is left as it
    was.

    RLBench tests each placement with a planner that cannot be seeded, and draws anew if it fails, so now and then the
    same numbers lead to another scene. With a stored demonstration that is found out and the reset repeated; a drawn
    episode has nothing to be compared with. Colours of push_buttons also hang on the process's hashing of strings: the
    processes of `envs.run` and `train.demos` have PYTHONHASHSEED=0; set it before Python starts for the same scenes in
    a process of your own.

    Args:
        suite: The suite.
        task: Task name.
        demos: Folder of stored demonstrations; None to draw the episodes.
    """

    _launched: ClassVar["CoppeliaEnv | None"] = None

    def __init__(self, suite: Suite, task: str, demos: Path | None = None) -> None:
        """Launches the simulator.

        Raises:
            InputError: Something is not installed, or the options contradict each other.
            SimulatorError: It does not start, or this process holds another one.
        """
        self.spec = task_spec(suite, task)
        self._fork = install.installed().fork
        if suite.options["grasp"] not in ("attach", "physical"):
            raise InputError(f"suite option grasp must be 'attach' or 'physical', not {suite.options['grasp']!r}.")
        if demos is None and "demos" in suite.options:
            raise InputError("the episodes of this protocol start as stored demonstrations: add --demos DIR.")
        if demos is not None and "demos" not in suite.options:
            raise InputError("the episodes of this protocol are drawn: take the suite from Suite.with_demos.")
        install.check_display()
        if CoppeliaEnv._launched is not None:
            raise SimulatorError("CoppeliaSim runs once a process: close the other environment first")
        self._suite = suite
        self._demos = None if demos is None else demos.resolve()
        self._config = observation_config(suite.cameras, suite.image_size)
        self._environment: Any = None
        self._task: Any = None
        self._episode: Episode | None = None
        self._rng = OwnGenerator()
        self._studio = Studio()
        self._launch(task)

    # -- the simulator -------------------------------------------------------------------------------------------

    def _launch(self, task: str) -> None:
        from pyrep.errors import ConfigurationError, ConfigurationPathError, IKError
        from rlbench.action_modes.action_mode import MoveArmThenGripper
        from rlbench.action_modes.arm_action_modes import EndEffectorPoseViaPlanning
        from rlbench.action_modes.gripper_action_modes import Discrete
        from rlbench.backend.exceptions import InvalidActionError
        from rlbench.environment import Environment

        self._unreachable = (InvalidActionError, IKError, ConfigurationPathError, ConfigurationError)
        gripper = Discrete(attach_grasped_objects=self._suite.options["grasp"] == "attach")
        mode = MoveArmThenGripper(EndEffectorPoseViaPlanning(), gripper)
        self._environment = Environment(mode, obs_config=self._config, headless=True)
        CoppeliaEnv._launched = self
        try:
            # PyRep changes the working directory while it launches, and leaves it so when that fails.
            with contextlib.chdir("."):
                self._environment.launch()
            self._load(task)
        except BaseException as error:
            with contextlib.suppress(Exception):
                self.close()
            if isinstance(error, InputError) or not isinstance(error, Exception):
                raise
            raise SimulatorError(f"CoppeliaSim does not start: {_said(error)}. {_REMEDY}.") from error

    def _load(self, task: str) -> None:
        with self._rng():
            self._task = self._environment.get_task(install.task_class(self._suite, task))
        if self._task.variation_count() < self.spec.variations:
            raise InputError(
                f"the installed RLBench ({self.spec.simulator_version}) has {self._task.variation_count()} variations "
                f"of {task}, the suite {self.spec.variations}. Install RLBench as it is published: {install.FORK}"
            )
        self._episode = None

    def change_task(self, task: str) -> bool:
        """See `Env.change_task`: the simulator goes on, a second launch in one process often fails."""
        if self._environment is None:
            return False
        spec = task_spec(self._suite, task)
        try:
            self.spec = spec
            self._load(task)
        except InputError:
            raise
        except Exception as error:
            raise SimulatorError(f"CoppeliaSim does not load {task}: {_said(error)}") from error
        return True

    def close(self) -> None:
        """Shuts the simulator down. Safe to call twice."""
        environment, self._environment, self._task = self._environment, None, None
        self._episode, self._studio = None, Studio()
        if environment is None:
            return
        CoppeliaEnv._launched = None
        environment.shutdown()

    # -- the episode ---------------------------------------------------------------------------------------------

    def reset(self, episode: Episode) -> Observation:
        """See `Env.reset`."""
        if not 0 <= episode.variation < self.spec.variations:
            raise InputError(f"{self.spec.task} has variations 0..{self.spec.variations - 1}, not {episode.variation}.")
        self._keyframes: Iterator[Keyframe] | None = None
        self._steps, self._open = 0, True
        demo = None if self._demos is None else starting_demo(self._suite, self._demos, episode)
        try:
            descriptions, raw = self._restore(episode, demo)
        except SimulatorError:
            raise
        except Exception as error:
            raise SimulatorError(f"RLBench cannot set {episode.id} up: {_said(error)}") from error
        self._episode, self._demo, self._instruction = episode, demo, str(descriptions[0])
        return self._observe(raw)

    def _restore(self, episode: Episode, demo: Any) -> tuple[list[str], Any]:
        with self._rng():
            self._task.set_variation(episode.variation)
            if demo is None:
                seed_global(episode)
                drawn: tuple[list[str], Any] = self._task.reset()
                return drawn
            for _ in range(_ATTEMPTS):
                descriptions, raw = self._task.reset_to_demo(demo)
                if same_scene(raw, demo[0]):
                    return descriptions, raw
        raise SimulatorError(
            f"{episode.id}: RLBench restores another scene than its stored demonstration's, {_ATTEMPTS} times in a "
            "row. Use the RLBench that made the demonstrations."
        )

    def step(self, action: Float32[np.ndarray, "128"]) -> StepResult:
        """See `Env.step`. Where RLBench's planner refuses the pose, the observation is the one before."""
        self._need_episode()
        try:
            check_action(action, self.spec.embodiment)
        except ActionError as error:
            return self._failed(str(error), planner=False, seconds=0.0)
        begin = time.perf_counter()
        try:
            with self._rng():
                raw, reward, terminate = self._task.step(self._native(action))
        except self._unreachable as error:
            return self._failed(_said(error), planner=True, seconds=time.perf_counter() - begin)
        except Exception as error:
            raise SimulatorError(f"RLBench's step failed: {_said(error)}") from error
        self._steps += 1
        self._open = bool(action[GRIPPER] > 0.5)
        success = float(reward) >= 1.0
        info = StepInfo(success=success, seconds={"rlbench": time.perf_counter() - begin})
        return StepResult(self._observe(raw), success or bool(terminate), info)

    def _native(self, action: Float32[np.ndarray, "128"]) -> np.ndarray:
        """RLBench's numbers: x y z, qx qy qz qw, gripper, and for the fork `ignore_collisions`."""
        wide = np.asarray(action, dtype=float)
        quaternion = wide[QUATERNION] / np.linalg.norm(wide[QUATERNION])  # RLBench wants norm 1 within 1e-5
        extra = [_IGNORE_COLLISIONS] if self._fork else []
        return np.array([*wide[POSITION], *quaternion, float(wide[GRIPPER] > 0.5), *extra])

    def _failed(self, reason: str, planner: bool, seconds: float) -> StepResult:
        info = StepInfo(failure=reason, planner_failure=planner, seconds={"rlbench": seconds})
        return StepResult(self._observation, True, info)

    def _observe(self, raw: Any) -> Observation:
        self._pose = np.asarray(raw.gripper_pose, dtype=float)
        self._observation = observe(raw, self._suite.cameras, self._instruction, self._steps, self.spec.max_steps)
        return self._observation

    # -- the rest ------------------------------------------------------------------------------------------------

    def hold_action(self) -> Float32[np.ndarray, "128"]:
        """The tip pose of the last observation, and the gripper state that was last asked for.

        Raises:
            RuntimeError: Before the first reset.
        """
        self._need_episode()
        return self._encode(Keyframe(self._pose, self._open))

    def expert_action(self) -> Float32[np.ndarray, "128"]:
        """The next keyframe of the episode's demonstration; after the last one it holds still.

        The demonstration is the stored one, or RLBench's own solution, which is run before the episode is set up again.
        The simulator's sampling of paths cannot be seeded, so now and then the two differ.

        Raises:
            RuntimeError: Actions came before the first question, or before the first reset.
            SimulatorError: RLBench could not solve the episode.
        """
        episode = self._need_episode()
        if self._keyframes is None:
            if self._steps > 0:
                raise RuntimeError("ask the expert from the first action on: it solves the episode from its start")
            demo = self._demo if self._demo is not None else self._live_demo(episode)
            self._keyframes = iter(keyframes(demo))
        keyframe = next(self._keyframes, None)
        return self.hold_action() if keyframe is None else self._encode(keyframe)

    def _live_demo(self, episode: Episode) -> Any:
        switch_cameras(self._config, self._suite.cameras, on=False)
        try:
            demo = self._solution(episode)
        finally:
            switch_cameras(self._config, self._suite.cameras, on=True)
        self.reset(episode)
        return demo

    def _solution(self, episode: Episode) -> Any:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._rng():
                    seed_global(episode)  # RLBench's own further attempts would be at other scenes
                    (demo,) = self._task.get_demos(1, live_demos=True, max_attempts=1)
            except Exception as error:
                if attempt < _ATTEMPTS:
                    continue
                raise SimulatorError(
                    f"RLBench cannot solve {episode.id} itself, {_ATTEMPTS} times: {_said(error)}"
                ) from error
            return demo

    def _encode(self, keyframe: Keyframe) -> Float32[np.ndarray, "128"]:
        native = [*keyframe.pose[:3], *positive(keyframe.pose[3:]), float(keyframe.open)]
        return self.spec.embodiment.encode(np.array(native, dtype=np.float32))

    def render(self, height: int = 480, width: int = 640) -> UInt8[np.ndarray, "h w 3"]:
        """A picture from the place that RLBench has for a camera for people."""
        return self._studio.picture(height, width)

    def _need_episode(self) -> Episode:
        if self._episode is None:
            raise RuntimeError("reset the environment first")
        return self._episode


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
