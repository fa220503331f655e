"""Worker processes that play episodes: hands them out, watches over them, restarts what hangs or dies."""

import multiprocessing
import multiprocessing.connection
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from envs.inherit import FIXED_HASHING, inherited
from envs.play import episode_policy_seed
from envs.spec import Episode, InputError, SimulatorError
from envs.worker import Broke, Prepare, Prepared, Refused, Reply, Started, WorkerPlan, worker_main
from results.records import EpisodeRecord

ATTEMPTS = 2
SETUP_TIMEOUT_S = 900.0  # loading a large policy or a first compilation of a scene takes minutes, not more
_POLL_S = 0.25
_CLOSING_S = 5.0  # for a simulator to shut down in

# Spawn, never fork: GL contexts and thread pools do not survive a fork.
_SPAWN = multiprocessing.get_context("spawn")


@dataclass
class _Trial:
    """One attempt at an episode."""

    episode: Episode
    attempt: int
    started: float = 0.0  # time.monotonic(), seconds


class _Slot:
    """A place for a worker process; the process comes and goes."""

    def __init__(self, plan: WorkerPlan) -> None:
        self._plan = plan
        self._process: SpawnProcess | None = None
        self.connection: Connection | None = None
        self.task: str | None = None
        self.trial: _Trial | None = None
        self.deadline = 0.0

    def request(self, message: Prepare | Episode) -> None:
        """Sends a request, starting a process if none runs."""
        if self._process is None:
            self.connection, theirs = _SPAWN.Pipe()
            self._process = _SPAWN.Process(target=worker_main, args=(theirs, self._plan), daemon=True)
            with _quiet_start():
                self._process.start()
            theirs.close()
        self.deadline = time.monotonic() + SETUP_TIMEOUT_S
        assert self.connection is not None
        self.connection.send(message)

    def receive(self) -> Reply | None:
        """The next reply; None when the process has died."""
        assert self.connection is not None
        try:
            reply: Reply = self.connection.recv()
        except (EOFError, OSError):
            return None
        return reply

    def kill(self, grace_s: float = 0.0) -> int | None:
        """Ends the process; its exit code if it ended by itself within the grace."""
        process, self._process, self.task = self._process, None, None
        if process is None:
            return None
        process.join(grace_s)
        code = process.exitcode
        process.kill()
        process.join()
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        return code

    def close(self) -> None:
        """Lets an idle worker close its simulator; ends a busy one at once."""
        idle = self.trial is None and self.connection is not None
        if idle and self.connection is not None:
            self.connection.close()
            self.connection = None
        self.kill(grace_s=_CLOSING_S if idle else 0.0)


class WorkerPool:
    """Plays episodes in worker processes. One simulator a process, also with one worker.

    An episode whose worker hangs, dies or reports a broken simulator is tried once more, then recorded as an error.

    Args:
        plan: What the workers need.
        workers: Number of processes, at least 1.
    """

    def __init__(self, plan: WorkerPlan, workers: int = 1) -> None:
        self._plan = plan
        self._slots = [_Slot(plan) for _ in range(workers)]
        self._stopping = False

    def prepare(self, tasks: Sequence[str]) -> Prepared:
        """Builds the policy and the first environment in the first worker.

        Raises:
            InputError: The policy or the simulator cannot be had, or they do not fit each other.
            SimulatorError: The worker died or hung while it built them.
            RuntimeError: A defect in one of them, with its traceback.
        """
        slot = self._slots[0]
        slot.request(Prepare(tuple(tasks)))
        assert slot.connection is not None
        try:
            ready = slot.connection.poll(SETUP_TIMEOUT_S)
        except BaseException:
            slot.kill()  # interrupted: loading weights is not worth waiting for
            raise
        if not ready:
            slot.kill()
            raise SimulatorError(f"policy and simulator were not ready after {SETUP_TIMEOUT_S:.0f} s")
        reply = slot.receive()
        if reply is None:
            raise SimulatorError(
                f"the worker died ({_death(slot.kill(grace_s=1.0))}) while it built the policy and the simulator"
            )
        if isinstance(reply, Refused):
            raise _refusal(reply)
        assert isinstance(reply, Prepared)
        slot.task = tasks[0]
        return reply

    def play(self, episodes: Sequence[Episode]) -> Iterator[EpisodeRecord]:
        """Plays episodes and yields their records as they end. Ends early, without the rest, after `stop`.

        Raises:
            InputError: The run cannot go on for a reason that the user can change.
            RuntimeError: It cannot go on because of a defect.
        """
        pending = [_Trial(episode, 1) for episode in episodes]
        while True:
            for slot in self._slots:
                if slot.trial is None and pending and not self._stopping:
                    self._hand_out(slot, pending)
            busy = [slot for slot in self._slots if slot.trial is not None]
            if not busy:
                return
            ready = multiprocessing.connection.wait([slot.connection for slot in busy if slot.connection], _POLL_S)
            for slot in busy:
                if slot.connection in ready:
                    record = self._answer(slot, pending)
                elif time.monotonic() > slot.deadline:
                    record = self._failed(slot, pending, self._hung(slot))
                else:
                    continue
                if record is not None:
                    yield record

    def stop(self) -> None:
        """Hands out no further episodes; those under way are played to their end."""
        self._stopping = True

    @property
    def under_way(self) -> int:
        """Number of episodes being played."""
        return sum(slot.trial is not None for slot in self._slots)

    def close(self) -> None:
        """Ends all workers. Safe to call twice."""
        for slot in self._slots:
            slot.close()

    def _hand_out(self, slot: _Slot, pending: list[_Trial]) -> None:
        # A worker stays with its task, then turns to one that no other worker has: environments are rebuilt rarely.
        taken = {other.task for other in self._slots if other is not slot}
        choices = [
            next((trial for trial in pending if trial.episode.task == slot.task), None),
            next((trial for trial in pending if trial.episode.task not in taken), None),
            pending[0],
        ]
        trial = next(trial for trial in choices if trial is not None)
        pending.remove(trial)
        trial.started = time.monotonic()
        slot.trial = trial
        try:
            slot.request(trial.episode)
        except OSError:
            slot.kill()  # it died while idle: a fresh one takes over
            slot.request(trial.episode)
        slot.task = trial.episode.task

    def _answer(self, slot: _Slot, pending: list[_Trial]) -> EpisodeRecord | None:
        trial, reply = slot.trial, slot.receive()
        assert trial is not None
        if isinstance(reply, Started):
            slot.deadline = time.monotonic() + self._plan.suite.episode_timeout_s
            return None
        if isinstance(reply, EpisodeRecord):
            slot.trial = None
            return replace(reply, attempts=trial.attempt)
        if isinstance(reply, Broke):
            slot.kill(grace_s=_CLOSING_S)  # it closes what is left and ends, or hangs in doing so
            return self._failed(slot, pending, reply.message)
        if isinstance(reply, Refused):
            slot.trial = None
            raise _refusal(reply)
        return self._failed(slot, pending, f"the worker died ({_death(slot.kill(grace_s=1.0))})")

    def _hung(self, slot: _Slot) -> str:
        slot.kill()
        return f"hung: no result within {self._plan.suite.episode_timeout_s:g} s"

    def _failed(self, slot: _Slot, pending: list[_Trial], message: str) -> EpisodeRecord | None:
        trial, slot.trial = slot.trial, None
        assert trial is not None
        if trial.attempt < ATTEMPTS:
            pending.insert(0, _Trial(trial.episode, trial.attempt + 1))
            return None
        episode = trial.episode
        return EpisodeRecord(
            id=episode.id,
            task=episode.task,
            variation=episode.variation,
            seed=episode.seed,
            repeat=episode.repeat,
            policy_seed=episode_policy_seed(episode, self._plan.policy_seed),
            outcome="error",
            error=message,
            attempts=trial.attempt,
            wall_s=round(time.monotonic() - trial.started, 3),
        )


def _refusal(reply: Refused) -> Exception:
    return InputError(reply.message) if reply.is_input else RuntimeError(reply.message)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return "exit code unknown" if code is None else f"exit code {code}"


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Starts a child that ignores Ctrl-C (the parent decides), computes with one thread and hashes as all others do.

    All are inherited at the start: number libraries read their thread count when they are imported.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with inherited(threads | FIXED_HASHING):
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
