"""The zero policy: commands no motion. Its success rate is what a task gives away for free."""

import numpy as np

from envs.spec import InputError, Observation, TaskSpec
from model.actions import ACTION_DIM
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec

_ARM = (*(f"joint_{k}" for k in range(7)), "gripper_open")
_EEF = ("eef_x", "eef_y", "eef_z", "eef_qx", "eef_qy", "eef_qz", "eef_qw", "gripper_open")

# Absolute slot -> the proprioception entry that, commanded, keeps the robot where it is. For displacements (the slots
# not listed) that command is zero.
HOLD: dict[int, str] = dict(
    enumerate((*_EEF, *_ARM, *(f"{side}_{name}" for side in ("left", "right") for name in _ARM)))
) | {32 + k: f"finger_{k}" for k in range(16)}


class ZeroPolicy(Policy):
    """Repeats the pose, joints and gripper opening that it reads from proprioception."""

    spec = PolicySpec(convention=None, horizon=1, blind=True)
    info = PolicyInfo(name="zero")

    def reset(self, task: TaskSpec, seed: int) -> None:
        """Looks up which proprioception entry each slot repeats.

        Raises:
            InputError: The task does not observe a quantity that it wants commanded.
        """
        self._sources: list[tuple[int, int]] = []
        for slot in task.embodiment.slots:
            if (name := HOLD.get(slot)) is None:
                continue
            if name not in task.proprioception:
                raise InputError(
                    f"the zero policy cannot hold still in {task.suite}/{task.task}: its proprioception has no "
                    f"{name!r}. Add that entry to the adapter, or use another policy."
                )
            self._sources.append((slot, task.proprioception.index(name)))

    def act(self, obs: Observation) -> ActionChunk:
        """The command to stay."""
        actions = np.zeros((1, ACTION_DIM), dtype=np.float32)
        for slot, entry in self._sources:
            actions[0, slot] = obs["proprioception"][entry]
        return ActionChunk(actions)
