"""Plays one expert episode and stages it as a file. Runs inside the worker processes of `train.demos`.

A finished episode is one file in the staging folder, written at once: `<task>/<index>.parquet` for a success,
`<task>/<index>.json` with the reason for a failure. Whatever is there need not be played again.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow.parquet as pq

from envs.spec import Env, Episode, InputError, Observation, SimulatorError, TaskSpec
from envs.suite import load_suite, protocol_hash
from train.disturbance import ATTEMPTS, Excursions, KnowsTheWay, disturb
from train.lerobot.dataset import EncodedEpisode, Features, Frame
from train.lerobot.write import encode_episode

_EEF = ("x", "y", "z", "qx", "qy", "qz", "qw", "gripper")
_ARM = (*(f"j{i}" for i in range(7)), "gripper")
_DELTA = ("dx", "dy", "dz", "drx", "dry", "drz", "dgripper", "dbase")
SLOT_NAMES = (
    *_EEF,
    *_ARM,
    *(f"left_{name}" for name in _ARM),
    *(f"right_{name}" for name in _ARM),
    *(f"f{i}" for i in range(16)),
    *_DELTA,
)


@runtime_checkable
class RecordsMotion(Protocol):
    """An environment that can also observe during an action.

    `intermediate_observations` is set to the number of observations an action, evenly spaced over its motion;
    `take_intermediate` hands over those of the last `step`.
    """

    intermediate_observations: int

    def take_intermediate(self) -> list[Observation]:
        """Observations of the last `step`, in order."""


@dataclass(frozen=True)
class PlaySettings:
    """What decides an episode's frames, besides its task and index.

    Attributes:
        suite: Suite name, or path of its file.
        sim: Simulator back end; None for the suite's default.
        block: Seed block.
        intermediate: Extra observations a keyframe motion.
        disturb: Size of the disturbances, cm (`train.disturbance`).
        stray: Size of the excursions, cm (`train.disturbance.Excursions`).
    """

    suite: str
    sim: str | None
    block: str
    intermediate: int
    disturb: float = 0.0
    stray: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of an episode.

    Attributes:
        task: Its task.
        index: Its place in the task's episode list.
        failure: Why it was not kept; None when it was.
        seconds: Wall time by part.
    """

    task: str
    index: int
    failure: str | None
    seconds: dict[str, float] = field(default_factory=dict)


class _Process:
    """The one simulator that a worker process holds."""

    settings: PlaySettings | None = None
    env: Env | None = None


def start_worker() -> None:
    """Leaves Ctrl-C to the parent, so that the running episode is finished and staged."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def describe(settings: PlaySettings, task: str) -> dict[str, Any]:
    """What every frame of the dataset will hold, and under which protocol: plain data.

    Raises:
        InputError: The suite, task or simulator does not exist, or cannot record in-between frames.
    """
    spec = _env(settings, task).spec
    sizes = {(camera.height, camera.width) for camera in spec.cameras}
    if len(sizes) > 1:
        raise InputError(f"suite {spec.suite!r} has cameras of different sizes; give them one size in its file.")
    height, width = sizes.pop() if sizes else (0, 0)
    return {
        "suite": spec.suite,
        "block": settings.block,
        "intermediate": settings.intermediate,
        "disturb": settings.disturb,
        **({"stray": settings.stray} if settings.stray else {}),
        "simulator": f"{spec.simulator} {spec.simulator_version}",
        "protocol_hash": protocol_hash(load_suite(settings.suite).protocol([spec])),
        "features": {
            "cameras": [camera.name for camera in spec.cameras],
            "height": height,
            "width": width,
            "proprioception": list(spec.proprioception),
            "action": [SLOT_NAMES[slot] for slot in spec.embodiment.slots],
            "fps": round(spec.control_hz) if spec.control_hz else 1,
            "robot": spec.convention.embodiment,
        },
    }


def play(settings: PlaySettings, staging: Path, features: Features, task: str, index: int) -> Outcome:
    """Plays an episode of a task with its scripted expert and stages the result.

    Raises:
        InputError: The task has no scripted expert.
        SimulatorError: The simulator broke twice in a row.
    """
    episode = load_suite(settings.suite).episodes(task, settings.block, index + 1)[index]
    seconds: dict[str, float] = {}
    for attempt in range(len(ATTEMPTS) if settings.disturb or settings.stray else 0, -1, -1):
        frames, failure = _unbroken(settings, episode, seconds, attempt)
        if failure is None:
            break
    path = staged_path(staging, task, index)
    path.parent.mkdir(parents=True, exist_ok=True)
    if failure is not None:
        facts = {"episode": episode.id, "failure": failure}
        _write_atomically(path.with_suffix(".json"), (json.dumps(facts) + "\n").encode())
        return Outcome(task, index, failure, seconds)
    with _clock(seconds, "PNG"):
        encoded = encode_episode(features, task, episode.variation, episode.seed, frames)
        _stage(path, encoded)
    return Outcome(task, index, None, seconds)


def staged_path(staging: Path, task: str, index: int) -> Path:
    """Where a kept episode is staged; a failed one has the suffix `.json` instead."""
    return staging / task / f"{index:06d}.parquet"


def staged_outcome(staging: Path, task: str, index: int) -> Outcome | None:
    """What an earlier run found for an episode; None when it has not been played."""
    path = staged_path(staging, task, index)
    if path.is_file():
        return Outcome(task, index, None)
    if path.with_suffix(".json").is_file():
        return Outcome(task, index, json.loads(path.with_suffix(".json").read_text())["failure"])
    return None


def read_staged(path: Path) -> EncodedEpisode:
    """Reads a kept episode back."""
    table = pq.read_table(path)
    facts = json.loads(table.schema.metadata[b"episode"])
    return EncodedEpisode(frames=table.replace_schema_metadata(None), **facts)


def _unbroken(
    settings: PlaySettings, episode: Episode, seconds: dict[str, float], attempt: int
) -> tuple[list[Frame], str | None]:
    """`_roll_out`, once more with a new simulator where the first one broke."""
    try:
        return _roll_out(settings, episode, seconds, attempt)
    except SimulatorError:
        with suppress(Exception):  # what broke need not close well
            _close()
        return _roll_out(settings, episode, seconds, attempt)


def _roll_out(
    settings: PlaySettings, episode: Episode, seconds: dict[str, float], attempt: int
) -> tuple[list[Frame], str | None]:
    """The frames of an episode, and why it failed (None for a success). Attempt 0 is the undisturbed one."""
    share, careful = ATTEMPTS[-attempt] if attempt else (0.0, True)
    rng = np.random.default_rng((episode.seed, attempt))
    with _clock(seconds, "building"):
        env = _env(settings, episode.task)
    spec = env.spec
    with _clock(seconds, "simulator"):
        observation = env.reset(episode)
    frames: list[Frame] = []
    succeeded = False
    excursions = Excursions(share * settings.stray, rng)
    keyframe = 0
    for _ in range(spec.max_steps):
        try:
            with _clock(seconds, "expert"):
                action = env.expert_action()
        except NotImplementedError as error:
            raise InputError(f"{error}; leave the task out with --tasks.") from error
        native = spec.embodiment.decode(action)
        frames.append(_frame(observation, spec, native, keyframe))
        keyframe += 1
        if share and isinstance(env, KnowsTheWay):
            on_the_way = env.on_the_way(careful)
            elsewhere = excursions(native, on_the_way)
            if elsewhere is not None:
                keyframe += 1  # a gap: what the expert does next is no answer to what is seen now (`chunk_rows`)
                action = spec.embodiment.encode(elsewhere)
            elif on_the_way and settings.disturb:
                action = spec.embodiment.encode(disturb(native, share * settings.disturb, rng))
        with _clock(seconds, "simulator"):
            observation, done, info = env.step(action)
        for part, value in info.seconds.items():
            seconds[f"simulator: {part}"] = seconds.get(f"simulator: {part}", 0.0) + value
        if isinstance(env, RecordsMotion) and settings.intermediate:
            # On the way to a keyframe the right answer is that same keyframe.
            frames += [_frame(between, spec, native, frames[-1].keyframe_index) for between in env.take_intermediate()]
        succeeded = info.success or (succeeded and spec.success_rule == "success_once")
        if info.failure is not None:
            return frames, info.failure
        if done or (succeeded and spec.success_rule == "success_once"):
            break
    return frames, None if succeeded else f"no success after {len(frames)} frames"


def _frame(observation: Observation, spec: TaskSpec, native: Any, keyframe: int) -> Frame:
    images = {camera.name: observation["images"][camera.name].copy() for camera in spec.cameras}
    return Frame(images, observation["proprioception"].copy(), native, keyframe, observation["instruction"])


def _env(settings: PlaySettings, task: str) -> Env:
    """This process's environment, rebuilt when the task changes and the simulator cannot go on with another one."""
    env = _Process.env
    if env is not None and _Process.settings == settings and (env.spec.task == task or env.change_task(task)):
        return env
    _close()
    env = load_suite(settings.suite).make(task, settings.sim)
    _Process.env, _Process.settings = env, settings
    if settings.intermediate:
        if not isinstance(env, RecordsMotion):
            raise InputError(f"{env.spec.simulator} gives no observations during a motion; drop --intermediate.")
        env.intermediate_observations = settings.intermediate
    if (settings.disturb or settings.stray) and not isinstance(env, KnowsTheWay):
        raise InputError(f"the experts of {env.spec.simulator} do not tell what may be disturbed; drop --disturb.")
    if settings.stray and not env.spec.control_hz:
        raise InputError(f"--stray is for dense control; the actions of {env.spec.suite} are keyframes. Drop it.")
    return env


def _close() -> None:
    env, _Process.env = _Process.env, None
    if env is not None:
        env.close()


def _stage(path: Path, episode: EncodedEpisode) -> None:
    facts = {"suite_task": episode.suite_task, "variation": episode.variation}
    facts |= {"seed": episode.seed, "stats": episode.stats}
    table = episode.frames.replace_schema_metadata({"episode": json.dumps(facts)})
    temporary = path.with_suffix(".partial")
    pq.write_table(table, temporary, use_dictionary=False)
    os.replace(temporary, path)


def _write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".partial")
    temporary.write_bytes(content)
    os.replace(temporary, path)


@contextmanager
def _clock(seconds: dict[str, float], part: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - started
