"""The random policy: uniform actions within the task's bounds. A floor that moves, unlike the zero policy's."""

import numpy as np

from envs.spec import Observation, TaskSpec
from model.actions import GRIPPER, QUATERNION
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec

# A gripper command is open or closed: half-open grippers would make it weaker than chance.
_GRIPPER_SLOTS = (GRIPPER, 15, 23, 31)


class RandomPolicy(Policy):
    """Uniform positions and joints, uniform rotations, open or closed grippers."""

    spec = PolicySpec(convention=None, horizon=1, blind=True)
    info = PolicyInfo(name="random")

    def reset(self, task: TaskSpec, seed: int) -> None:
        """Seeds the stream of actions."""
        self._embodiment = task.embodiment
        self._low, self._high = np.array(task.action_low), np.array(task.action_high)
        self._rng = np.random.default_rng(seed)

    def act(self, obs: Observation) -> ActionChunk:
        """The next random action."""
        action = self._embodiment.encode(self._rng.uniform(self._low, self._high))
        slots = self._embodiment.slots
        if set(range(QUATERNION.start, QUATERNION.stop)) <= set(slots):
            # A normalised Gaussian vector is uniform on the sphere, so the rotation is uniform too.
            quaternion = self._rng.normal(size=4)
            action[QUATERNION] = quaternion / np.linalg.norm(quaternion)
        for slot in _GRIPPER_SLOTS:
            if slot in slots:
                action[slot] = self._rng.integers(2)
        return ActionChunk(action[None])
