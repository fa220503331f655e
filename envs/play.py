"""Plays one episode: asks the policy, plays its chunks, measures its calls, and writes down what happened."""

import hashlib
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from math import isfinite
from typing import TypeVar

import numpy as np

from envs.clock import VirtualClock, meanwhile, tick_rate
from envs.latency_sources import LatencySource
from envs.spec import Env, Episode, InputError, Observation, SimulatorError, StepInfo
from model.actions import ACTION_DIM, ActionError, check_action
from policies.base import ActionChunk, Policy
from results.records import INVALID_ACTION, EpisodeRecord, Latency

FrameSink = Callable[[np.ndarray], None]
T = TypeVar("T")

ACTION_DECIMALS = 6


class PolicyError(Exception):
    """The policy raised: the episode's outcome is an error. The message says what and where."""


def episode_policy_seed(episode: Episode, base: int) -> int:
    """The policy's seed in an episode: a function of the two alone, so neither worker nor order matters."""
    digest = hashlib.sha256(f"{episode.id}/{base}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def play_episode(
    env: Env,
    policy: Policy,
    episode: Episode,
    execution_horizon: int,
    policy_seed: int = 0,
    frame_sink: FrameSink | None = None,
    latency: LatencySource | None = None,
) -> EpisodeRecord:
    """Plays an episode to its end.

    Args:
        env: Environment of the episode's task.
        policy: Any policy that fits it.
        episode: What to play.
        execution_horizon: Actions of each chunk that are played before the policy is asked again; shorter chunks are
            played whole.
        policy_seed: Base of the policy's seed, see `episode_policy_seed`.
        frame_sink: Receives each frame (uint8 [height, width, 3]) of a video of the episode.
        latency: How long calls take in simulated time, see `envs.clock`; None: the simulator waits for the policy.

    Returns:
        The record. An invalid action is a failure, an exception of the policy an error.

    Raises:
        InputError: The episode or the policy does not fit the task, or the latency does not, or its trace runs out.
        SimulatorError: The simulator broke. Other exceptions of `env` mean the same.
    """
    clock = None if latency is None else VirtualClock(latency, episode.id, tick_rate(env))
    return _Trial(env, policy, episode, policy_seed, frame_sink, clock).play(execution_horizon)


class _Trial:
    """State of one episode while it is played."""

    def __init__(
        self,
        env: Env,
        policy: Policy,
        episode: Episode,
        policy_seed: int,
        frame_sink: FrameSink | None,
        clock: VirtualClock | None,
    ) -> None:
        self.env, self.policy, self.episode, self.frame_sink, self.clock = env, policy, episode, frame_sink, clock
        self.policy_seed = episode_policy_seed(episode, policy_seed)
        self.embodiment = env.spec.embodiment
        self.failure: str | None = None
        self.error: str | None = None
        self.successes: list[bool] = []
        self.planner_failures = 0
        self.calls_s: list[float] = []
        self.spans_s: list[Mapping[str, float]] = []
        self.sim_seconds: Counter[str] = Counter()
        self.actions: list[tuple[float, ...]] = []
        self.observation: Observation = {}

    def play(self, execution_horizon: int) -> EpisodeRecord:
        start = time.perf_counter()
        if hasattr(self.env, "record_frames"):
            self.env.record_frames = self.frame_sink is not None
        self.env.picturing = not self.policy.spec.blind
        try:
            self._run(execution_horizon)
        except ActionError as error:
            self.failure = f"{INVALID_ACTION}{error}"
        except PolicyError as error:
            self.error = str(error)
        finally:
            self.env.observing = self.env.picturing = True
        once, at_end = any(self.successes), bool(self.successes and self.successes[-1])
        if self.failure is not None and self.failure.startswith(INVALID_ACTION):
            at_end = False  # it would have gone on: no way to end an episode at its best moment
        success = once if self.env.spec.success_rule == "success_once" else at_end
        outcome = "error" if self.error is not None else "success" if success else "failure"
        return EpisodeRecord(
            id=self.episode.id,
            task=self.episode.task,
            variation=self.episode.variation,
            seed=self.episode.seed,
            repeat=self.episode.repeat,
            policy_seed=self.policy_seed,
            outcome=outcome,
            success_once=once,
            success_at_end=at_end,
            steps=len(self.actions),
            failure=(self.failure or "ended without success") if outcome == "failure" else None,
            planner_failures=self.planner_failures,
            error=self.error,
            wall_s=round(time.perf_counter() - start, 3),
            latency=Latency.of_calls(self.calls_s, self.spans_s),
            sim_seconds={part: round(seconds, 4) for part, seconds in self.sim_seconds.items()},
            actions=tuple(self.actions),
            delays_s=None if self.clock is None else tuple(self.clock.delays_s),
        )

    def _run(self, execution_horizon: int) -> None:
        # The environment first: the expert may look at the scene when it is attached or reset.
        self.observation = self.env.reset(self.episode)
        self._ask(lambda: self.policy.attach(self.env))
        self._ask(lambda: self.policy.reset(self.env.spec, self.policy_seed))
        self._film()
        rest = np.empty((0, ACTION_DIM), dtype=np.float32)  # of the last chunk, beyond the execution horizon
        while True:
            actions = np.asarray(self._act(self.observation).actions)
            if self.clock is not None and self._delay(self.clock.charge(self.calls_s[-1]), rest):
                return
            played = actions[:execution_horizon]
            # Nobody looks between two calls of the policy.
            if any(self._step(action, look=k + 1 == len(played)) for k, action in enumerate(played)):
                return
            rest = actions[execution_horizon:].copy()  # the policy may use its memory again

    def _delay(self, ticks: int, rest: np.ndarray) -> bool:
        """Lets the time of a call pass, see `envs.clock`; true when the episode ends meanwhile."""
        if self.env.spec.control_hz is not None:
            return any(self._step(action, look=False) for action in meanwhile(self.env, rest, ticks))
        return ticks > 0 and self._note(*self.env.wait(ticks))

    def _step(self, action: np.ndarray, look: bool) -> bool:
        """Carries out an action; true when the episode ends with it. `look` says whether it is followed by a call."""
        check_action(action, self.embodiment)
        self.env.observing = look
        # What is played is what is written down, to the last bit: a replay from the record is exact.
        native = tuple(round(float(number), ACTION_DECIMALS) for number in self.embodiment.decode(action))
        self.observation, done, info = self.env.step(self.embodiment.encode(np.array(native)))
        self.actions.append(native)
        if self._note(done, info):
            return True
        if len(self.actions) >= self.env.spec.max_steps:
            self.failure = "out of steps"
            return True
        return False

    def _note(self, done: bool, info: StepInfo) -> bool:
        """Writes down what happened; true when that was the end."""
        self.successes.append(bool(info.success))
        self.planner_failures += bool(info.planner_failure)
        self.sim_seconds.update({part: float(seconds) for part, seconds in info.seconds.items()})
        self._film()
        if info.failure is not None:
            self.failure = info.failure
        return done or info.failure is not None

    def _act(self, observation: dict) -> ActionChunk:
        start = time.perf_counter()
        chunk = self._ask(lambda: self.policy.act(observation))
        self.calls_s.append(time.perf_counter() - start)
        if not isinstance(chunk, ActionChunk):
            raise PolicyError(f"act returned {type(chunk).__name__}, not an ActionChunk")
        self.spans_s.append(_checked(chunk.spans))
        return chunk

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except (ActionError, InputError, SimulatorError):
            raise
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
            raise PolicyError(f"{type(error).__name__} in the policy: {error} ({place})") from error

    def _film(self) -> None:
        if self.frame_sink is None:
            return
        # Adapters that simulate motion between two actions offer its frames; the others one picture an action.
        frames = self.env.take_frames() if hasattr(self.env, "take_frames") else []
        for frame in frames or [self.env.render()]:
            self.frame_sink(frame)


def _checked(spans: Mapping[str, float]) -> dict[str, float]:
    """The parts of a call as plain numbers of seconds."""
    try:
        plain = {str(name): float(seconds) for name, seconds in spans.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise PolicyError(f"the spans of act are not names with seconds: {error}") from error
    if not all(isfinite(seconds) for seconds in plain.values()):
        raise PolicyError(f"the spans of act hold a number that is not finite: {plain}")
    return plain
