"""A task of ManiSkill behind the interface of `envs.spec`."""

import time
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from envs.maniskill import expert, observe
from envs.maniskill.end_effector import make_control
from envs.maniskill.goals import GoalExpert, goal_expert
from envs.maniskill.settings import read_settings
from envs.maniskill.simulation import Simulation, said
from envs.maniskill.specification import task_spec
from envs.spec import Env, Episode, InputError, Observation, SimulatorError, StepInfo, StepResult
from envs.suite import Suite
from model.actions import ActionError, check_action


class ManiSkillEnv(Env):
    """A task at 20 actions a second. The seed of an episode is the seed that ManiSkill is reset with.

    An episode goes on for the suite's `steps_after_success` actions after its first success, unless its steps run out,
    so that the record's success at the end says something.

    Attributes:
        simulation: ManiSkill's environment.
        control: What actions mean to it.

    Args:
        suite: The suite.
        task: Task name.
        sim: Back end.
    """

    def __init__(self, suite: Suite, task: str, sim: str) -> None:
        """Builds the scene.

        Raises:
            InputError: Something is not installed, or the suite's file asks for something that there is not.
            SimulatorError: ManiSkill cannot build the task, or this process holds another environment.
        """
        self._settings = read_settings(suite, task)
        self.control = make_control(self._settings.options, self._settings.task.arms)
        self.spec = task_spec(suite, self._settings, sim)
        self.simulation = Simulation(self._settings, self.control.mode, sim)
        self._episode: Episode | None = None
        self._observation: Observation = {}
        self._plan: list[np.ndarray] | None = None
        self._goals: GoalExpert | None = None
        self._steps = 0
        self._first_success: int | None = None

    def reset(self, episode: Episode) -> Observation:
        """See `Env.reset`."""
        if episode.variation != 0:
            raise InputError(f"{self.spec.task} has one variation, 0, not {episode.variation}.")
        self._start(episode)
        self._plan = None
        self._goals = goal_expert(self._settings.task, self.simulation, self.control)
        self._observation = self._observe({})
        return self._observation

    def _start(self, episode: Episode) -> None:
        """The episode's initial state, without a picture of it."""
        try:
            self.simulation.reset(episode.seed)
        except Exception as error:
            raise SimulatorError(f"ManiSkill cannot set {episode.id} up: {said(error)}") from error
        self.control.start(self.simulation.arms())
        self._episode, self._steps, self._first_success = episode, 0, None

    def step(self, action: Float32[np.ndarray, "128"]) -> StepResult:
        """See `Env.step`. Entries out of bounds are clipped, as ManiSkill's controllers do."""
        self._need_episode()
        try:
            check_action(action, self.spec.embodiment)
        except ActionError as error:
            return StepResult(self._observation, True, StepInfo(failure=str(error)))
        seconds: dict[str, float] = {}
        begin = time.perf_counter()
        success = self._carry_out(action)
        seconds["physics"] = time.perf_counter() - begin
        if success and self._first_success is None:
            self._first_success = self._steps
        self._observation = self._observe(seconds)
        return StepResult(self._observation, self._ended(), StepInfo(success=success, seconds=seconds))

    def _carry_out(self, action: Float32[np.ndarray, "128"]) -> bool:
        self._steps += 1
        try:
            return self.simulation.step(self.control.command(action))
        except Exception as error:
            raise SimulatorError(f"ManiSkill's step failed: {said(error)}") from error

    def _ended(self) -> bool:
        if self._first_success is None or self.spec.success_rule != "success_once":
            return False
        return self._steps - self._first_success >= self._settings.options.steps_after_success

    def _observe(self, seconds: dict[str, float]) -> Observation:
        if not self.observing:
            return {}
        begin = time.perf_counter()
        try:
            images = self.simulation.pictures() if self.picturing else {}
        except Exception as error:
            raise SimulatorError(f"SAPIEN cannot take a picture: {said(error)}") from error
        seconds["rendering"] = time.perf_counter() - begin
        entries = [observe.arm_entries(arm) for arm in self.simulation.arms()]
        if self._settings.options.object_state:
            entries.append(observe.object_entries(self._settings.task.name, self.simulation.base))
        return {
            "images": images,
            "proprioception": np.concatenate(entries),
            "instruction": self._settings.task.sentence,
        }

    # -- the rest ------------------------------------------------------------------------------------------------

    def hold_action(self) -> Float32[np.ndarray, "128"]:
        """What was last commanded, or no displacement."""
        self._need_episode()
        return self.control.hold()

    def expert_action(self) -> Float32[np.ndarray, "128"]:
        """What the expert does now.

        Where the control goes to what it is told by itself, that is where to go next (`envs.maniskill.goals`). Else
        it is the next action of the motion-planned solution, which is found when it is first asked for; then it holds.
        The solution is played once in this simulator, without pictures, and the episode is set up again.

        Raises:
            InputError: The planner's packages are not there: it runs in the experts' own environment.
            RuntimeError: Actions came before the first question, or before the first reset.
        """
        episode = self._need_episode()
        if self._goals is not None:
            return self._goals.action(self._steps)
        if self._plan is None:
            if self._steps > 0:
                raise RuntimeError("ask the expert from the first action on: it solves the episode from its start")
            self._plan = self._solve(episode)
        return self._plan[self._steps] if self._steps < len(self._plan) else self.hold_action()

    def on_the_way(self, careful: bool) -> bool:
        """Whether the expert's last action only leads to the next one; see `train.disturbance.KnowsTheWay`.

        Raises:
            InputError: Its solution was planned beforehand, or moves joints, so that it must not be disturbed.
        """
        if self._goals is None or self.spec.embodiment.name != "absolute_eef":
            raise InputError("only demonstrations by poses of the end effector can be disturbed: leave --disturb out.")
        return self._goals.free

    def _solve(self, episode: Episode) -> list[Float32[np.ndarray, "128"]]:
        actions: list[np.ndarray] = []

        def play(command: np.ndarray) -> bool:
            # As the runner plays it: what is found is what will happen.
            native = self.spec.embodiment.decode(self.control.from_joints(command, self.simulation.arms()))
            action = self.spec.embodiment.encode(np.round(native.astype(float), 6))
            actions.append(action)
            return self._carry_out(action)

        expert.solve(self.simulation, self._settings.task, play, self.spec.max_steps)
        self._start(episode)
        return actions

    def render(self, height: int = 480, width: int = 640) -> UInt8[np.ndarray, "h w 3"]:
        """A picture from the task's render camera."""
        return self.simulation.picture(height, width)

    def close(self) -> None:
        """See `Env.close`."""
        simulation: Any = getattr(self, "simulation", None)
        if simulation is not None:
            simulation.close()
        self._episode = None

    def _need_episode(self) -> Episode:
        if self._episode is None:
            raise RuntimeError("reset the environment first")
        return self._episode
