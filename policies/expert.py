"""The expert policy: a task's scripted solution from privileged state. The ceiling of a table, and a test of a task."""

import numpy as np

from envs.spec import Env, InputError, Observation, TaskSpec
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec


class ExpertPolicy(Policy):
    """Asks the environment for its expert's next action."""

    spec = PolicySpec(convention=None, horizon=1, blind=True)
    info = PolicyInfo(name="expert", privileged=True)
    _env: Env | None = None

    def attach(self, env: Env) -> None:
        """Keeps the environment, whose state the expert reads."""
        self._env = env

    def reset(self, task: TaskSpec, seed: int) -> None:
        """Nothing to do: the expert's state is the simulator's."""

    def act(self, obs: Observation) -> ActionChunk:
        """The expert's next action.

        Raises:
            InputError: The task has no expert, or no environment was attached.
        """
        if self._env is None:
            raise InputError("the expert reads the simulator's state: call attach(env) before act.")
        try:
            return ActionChunk(self._env.expert_action()[None])
        except NotImplementedError as error:
            raise InputError(f"{error}: choose another policy or other tasks.") from None


class ChasePolicy(ExpertPolicy):
    """Repeats what the expert would do now, for a whole chunk: perfect eyes, and no idea of what comes.

    Played like a trained policy, it shows what a delay alone costs. Under control at a rate it is the expert of what
    was seen; under keyframe control it is no use.
    """

    spec = PolicySpec(convention=None, horizon=8, blind=True)
    info = PolicyInfo(name="chase", privileged=True)

    def act(self, obs: Observation) -> ActionChunk:
        """The expert's present action, repeated."""
        return ActionChunk(np.repeat(super().act(obs).actions, self.spec.horizon, axis=0))
