"""The mock simulator under control at a fixed rate: a task in which reacting late costs success. Numpy only.

`follow`: the dot of the named colour moves over the table, and the gripper must stay at it for half a second. One
picture does not tell how it moves, so a policy that looks at one lags behind by the time that it takes to compute.
"""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float32

from envs import mock
from envs.mock import HIGH, LOW, REACH_M, MockEnv
from envs.spec import Episode, InputError, Observation, TaskSpec
from envs.suite import Suite, nearest
from model.actions import POSITION_EEF

CONTROL_HZ = 20.0
GRIPPER_MPS = 1.0  # at most
DOT_MPS = (0.05, 0.35)
STAY_TICKS = 10


def task_spec(suite: Suite, task: str, sim: str) -> TaskSpec:
    """The facts of a mock task at a control rate."""
    return replace(mock.task_spec(suite, task, sim), convention=POSITION_EEF, control_hz=CONTROL_HZ)


def make(suite: Suite, task: str, sim: str, options: dict[str, Any]) -> "Follow":
    """Builds a task; see `envs.suite.Suite.make`."""
    mock.check_options(suite.options | options)
    if task != "follow":
        raise InputError(f"the mock simulator has no task {task!r} at a control rate.{nearest(task, ['follow'])}")
    return Follow(task_spec(suite, task, sim), suite.options | options)


class Follow(MockEnv):
    """Stay at the moving dot of the named colour."""

    sentence = "follow the {} dot"

    def reset(self, episode: Episode) -> Observation:
        """Places the dots, and draws where the named one moves to and how fast."""
        observation = super().reset(episode)
        key = f"{episode.suite}/{episode.task}/{episode.variation}/{episode.seed}/velocity"
        rng = np.random.default_rng(np.frombuffer(hashlib.sha256(key.encode()).digest(), dtype=np.uint32))
        heading, speed = rng.uniform(0, 2 * np.pi), rng.uniform(*DOT_MPS)
        self._velocity = speed * np.array([np.cos(heading), np.sin(heading), 0.0])  # m/s
        self._stayed = 0
        return observation

    def expert_action(self) -> Float32[np.ndarray, "128"]:
        """To where the dot is now."""
        return self._command(self._objects[self._colour], opens=True)

    def _move(self, position: np.ndarray, rotation: np.ndarray, opens: bool) -> None:
        """One tick: the gripper goes towards the pose as far as it can, the dot on its way."""
        way = position - self._position
        share = min(1.0, GRIPPER_MPS / CONTROL_HZ / max(float(np.linalg.norm(way)), 1e-9))
        self._position, self._open = self._position + share * way, float(opens)
        self._rotation = rotation / np.linalg.norm(rotation)
        dot = self._objects[self._colour] + self._velocity / CONTROL_HZ
        self._velocity = np.where((dot < LOW) | (dot > HIGH), -self._velocity, self._velocity)  # back at the edge
        self._objects[self._colour] = dot = np.clip(dot, LOW, HIGH)
        near = np.linalg.norm(dot - self._position) < REACH_M
        self._stayed = self._stayed + 1 if near else 0

    def _solved(self) -> bool:
        return self._stayed >= STAY_TICKS
