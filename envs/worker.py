"""A worker: a process of its own with one policy and one environment at a time.

The parent sends requests over a pipe and gets one reply each (`Started` comes before an episode's reply). A worker may
hang or die at any time; everything that must survive is the parent's.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from envs.clock import tick_rate
from envs.latency_sources import LatencySource, MeasuredLatency
from envs.play import episode_policy_seed, play_episode
from envs.spec import Env, Episode, InputError, SimulatorError, TaskSpec
from envs.suite import Suite
from envs.video import EpisodeVideo
from policies.base import Policy, PolicyInfo, check_compatible
from policies.named import NamedPolicy
from policies.registry import find_policy, make_policy, takes
from results.records import EpisodeRecord

WARM_UPS = 50  # calls before the first episode whose calls' times count
WARM_UP_S = 60.0  # after which those are enough, seconds


@dataclass(frozen=True)
class WorkerPlan:
    """What a worker needs to play any episode of a run.

    Attributes:
        suite: The benchmark.
        sim: Simulator back end.
        policy: Name of the policy, for the registry.
        checkpoint: Its weights; None for its default.
        device: What it runs on.
        nfe: Forward passes of a sample; None for the policy's own number.
        policy_seed: Base of the policy's seeds.
        videos: Folder for videos; None for none.
        demos: Folder of stored demonstrations that the episodes start as; None where they are drawn.
        latency: How long calls take in simulated time; None: the simulator waits for the policy.
    """

    suite: Suite
    sim: str
    policy: str
    checkpoint: str | None = None
    device: str = "cpu"
    nfe: int | None = None
    policy_seed: int = 0
    videos: Path | None = None
    demos: Path | None = None
    latency: LatencySource | None = None

    @property
    def label(self) -> str:
        """What the policy is called beside another one."""
        return NamedPolicy(self.policy, self.nfe).label


@dataclass(frozen=True)
class Prepare:
    """Request: build the policy and the first task's environment, and check that all tasks suit the policy."""

    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """Reply to `Prepare`; `tick_hz` is the virtual clock's rate, None without a latency."""

    policy: PolicyInfo
    specs: dict[str, TaskSpec]
    device: str
    tick_hz: float | None = None


@dataclass(frozen=True)
class Started:
    """The environment stands and the episode begins: the watchdog's clock starts anew."""


@dataclass(frozen=True)
class Broke:
    """Reply: the simulator broke in this episode. The worker closes it, which may hang, and ends."""

    message: str


@dataclass(frozen=True)
class Refused:
    """Reply: the run cannot go on.

    Attributes:
        message: What is wrong.
        is_input: The user's mistake (the message ends with the remedy), not a defect (it holds a traceback).
    """

    message: str
    is_input: bool


Reply = Prepared | Started | EpisodeRecord | Broke | Refused


def worker_main(connection: Connection, plan: WorkerPlan) -> None:
    """Serves requests until the pipe closes or the simulator breaks."""
    _die_with_parent()
    worker = _Worker(connection, plan)
    try:
        while True:
            request = connection.recv()
            reply: Reply
            try:
                reply = worker.prepare(request.tasks) if isinstance(request, Prepare) else worker.play(request)
            except (InputError, SimulatorError) as error:  # a simulator that does not even start: not this program's
                reply = Refused(str(error), is_input=True)
            except Exception:
                reply = Refused(traceback.format_exc(), is_input=False)
            connection.send(reply)
            if isinstance(reply, Broke):  # whose environment is not to be trusted any more
                with contextlib.suppress(Exception):
                    worker.close()
                return
    except (EOFError, OSError):
        pass  # the parent is gone, or has closed the pipe: no one to serve
    finally:
        worker.close()


class _Worker:
    """Holds the policy and the current task's environment."""

    def __init__(self, connection: Connection, plan: WorkerPlan) -> None:
        self._connection, self._plan = connection, plan
        self._policy: Policy | None = None
        self._env: Env | None = None
        self._warm = not isinstance(plan.latency, MeasuredLatency)

    def prepare(self, tasks: tuple[str, ...]) -> Prepared:
        suite, sim = self._plan.suite, self._plan.sim
        policy = self._make_policy()
        specs = {task: suite.spec(task, sim) for task in tasks}
        for spec in specs.values():
            check_compatible(policy, spec)
        env = self._make_env(tasks[0])
        hz = None if self._plan.latency is None else tick_rate(env)
        return Prepared(policy.info, specs, self._device_name(), hz)

    def play(self, episode: Episode) -> EpisodeRecord | Broke:
        policy = self._make_policy()
        video = EpisodeVideo(self._plan.videos, episode) if self._plan.videos is not None else None
        horizon, seed = self._plan.suite.execution_horizon, self._plan.policy_seed
        try:
            env = self._make_env(episode.task)
            if not self._warm:
                self._warm_up(env, policy, episode)
            self._connection.send(Started())
            sink = video.add if video else None
            record = play_episode(env, policy, episode, horizon, seed, sink, self._plan.latency)
        except Exception as error:
            if video:
                video.discard()
            if isinstance(error, InputError):
                raise
            return Broke(f"{type(error).__name__}: {error}")
        if video and (path := video.finish(record.outcome)) is not None:
            record = replace(record, video=f"{path.parent.name}/{path.name}")
        return record

    def _warm_up(self, env: Env, policy: Policy, episode: Episode) -> None:
        """Calls the policy so often that it has compiled and allocated what it will, as on a robot before it starts.

        Only where its calls' times count. The episode resets both environment and policy.
        """
        self._warm = True
        observation, began = env.reset(episode), time.monotonic()
        with contextlib.suppress(Exception):  # which the episode will meet, too, and write down
            policy.attach(env)
            policy.reset(env.spec, episode_policy_seed(episode, self._plan.policy_seed))
            for _ in range(WARM_UPS):
                policy.act(observation)
                if time.monotonic() - began > WARM_UP_S:
                    return

    def close(self) -> None:
        env, self._env = self._env, None
        if env is not None:
            env.close()

    def _make_policy(self) -> Policy:
        if self._policy is None:
            plan = self._plan
            self._policy = make_policy(plan.policy, plan.checkpoint, plan.device, plan.nfe, plan.suite.name)
            # A sum over threads depends on their number: one thread, whatever the number of workers and of cores.
            if (torch := sys.modules.get("torch")) is not None:
                torch.set_num_threads(1)
        return self._policy

    def _make_env(self, task: str) -> Env:
        if self._env is not None and self._env.spec.task != task and not self._env.change_task(task):
            self.close()
        if self._env is None:
            options = {} if self._plan.demos is None else {"demos": self._plan.demos}
            self._env = self._plan.suite.make(task, self._plan.sim, **options)
        return self._env

    def _device_name(self) -> str:
        if not takes(find_policy(self._plan.policy), "device"):
            return "cpu"
        torch = sys.modules.get("torch")
        if torch is not None and self._plan.device.startswith("cuda"):
            return str(torch.cuda.get_device_name(self._plan.device))
        return self._plan.device


def _die_with_parent() -> None:
    """Ends this process when the parent dies, even in the middle of a hung episode."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
