"""The replay policy: plays the actions that an earlier run's record holds, episode by episode."""

import hashlib
from pathlib import Path

import numpy as np

from envs.spec import InputError, Observation, TaskSpec
from model.actions import ActionError
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec
from results.records import INVALID_ACTION, EpisodeRecord, RecordError, read_run


class ReplayPolicy(Policy):
    """Looks an episode up by its task and policy seed, and plays what was played there, to the last bit.

    The same protocol, record and policy seed give the same episodes again; `python -m envs.replay` checks it.
    """

    def __init__(self, checkpoint: str | None = None) -> None:
        """Reads the record.

        Args:
            checkpoint: Path of a record (*.jsonl).

        Raises:
            InputError: No path, or no record there.
        """
        if checkpoint is None:
            raise InputError("the replay policy needs the path of a record: add --checkpoint RECORD.jsonl.")
        try:
            run = read_run(checkpoint)
        except RecordError as error:
            raise InputError(str(error)) from error
        self._episodes = {(episode.task, episode.policy_seed): episode for episode in run.episodes}
        self.spec = PolicySpec(convention=None, horizon=1, blind=True)
        self.info = PolicyInfo(
            name="replay",
            checkpoint_sha256=hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest(),
            privileged=run.header.policy.privileged,
        )

    def reset(self, task: TaskSpec, seed: int) -> None:
        """Finds the episode.

        Raises:
            InputError: The record has no such episode.
        """
        episode = self._episodes.get((task.task, seed))
        if episode is None:
            raise InputError(
                f"the record has no episode of {task.task} with policy seed {seed}: replay the episodes and the "
                "policy seed of its own run (python -m envs.replay does)."
            )
        self._episode: EpisodeRecord = episode
        self._embodiment = task.embodiment
        self._next = 0

    def act(self, obs: Observation) -> ActionChunk:
        """The next recorded action.

        Raises:
            ActionError: The recorded policy's action was invalid here.
            RuntimeError: The record has no further action: the replay has departed from it.
        """
        if self._next < len(self._episode.actions):
            native = np.array(self._episode.actions[self._next])
            self._next += 1
            return ActionChunk(self._embodiment.encode(native)[None])
        failure = self._episode.failure or ""
        if failure.startswith(INVALID_ACTION):
            raise ActionError(failure.removeprefix(INVALID_ACTION))
        raise RuntimeError(f"the record ends after {self._next} actions: the replay departed from it")
