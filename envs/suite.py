"""Suites: which tasks, episodes and seeds make a benchmark, read from the YAML files beside this package."""

import difflib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from envs.spec import Env, Episode, InputError, TaskSpec

SUITES_DIR = Path(__file__).parent / "suites"


def nearest(name: str, known: Iterable[str]) -> str:
    """The words "did you mean X?" when a known name is close, else an empty string."""
    match = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {match[0]!r}?" if match else ""


@dataclass(frozen=True)
class SeedBlock:
    """A half-open range of seeds: start .. start + count - 1.

    Attributes:
        start: First seed.
        count: Number of seeds.
        repeats: Episodes a seed: one initial state, played with that many policy seeds.
    """

    start: int
    count: int
    repeats: int = 1

    @property
    def stop(self) -> int:
        """One past the last seed."""
        return self.start + self.count

    @property
    def episodes(self) -> int:
        """Number of episodes that there are with these seeds."""
        return self.count * self.repeats

    def facts(self) -> dict[str, int]:
        """As plain data, for protocols and records, which name repeats only where there are some."""
        repeats = {} if self.repeats == 1 else {"repeats": self.repeats}
        return {"start": self.start, "count": self.count} | repeats


@dataclass(frozen=True)
class Suite:
    """A benchmark as data.

    Attributes:
        name: Suite name, that of its file.
        title: One line for people.
        adapter: "module:function" with signature `make(suite, task, sim, options) -> Env`.
        simulators: Names accepted by `--sim`; the first is the default.
        tasks: Task name -> number of variations, in table order.
        full_task_count: Number of tasks of the complete benchmark.
        episodes_per_task: Test episodes a task.
        quick_episodes_per_task: Episodes a task with `--quick`.
        seeds: Seed blocks by name; "train", "validation" and "test" are required and never overlap.
        frozen_episodes: Seed block -> task -> (variation, seed) of the first episodes, written out so that no change of
            a library can move them; empty where the drawn ones serve.
        max_steps: Actions an episode.
        success_rule: "success_once" or "success_at_end".
        execution_horizon: Actions of each chunk that are played before the policy is asked again.
        cameras: Camera names of the observation.
        image_size: Height and width of the observation's images, pixels.
        episode_timeout_s: Wall time after which the watchdog calls an episode hung.
        options: Adapter-specific settings; part of the protocol.
    """

    name: str
    title: str
    adapter: str
    simulators: tuple[str, ...]
    tasks: dict[str, int]
    full_task_count: int
    episodes_per_task: int
    quick_episodes_per_task: int
    seeds: dict[str, SeedBlock]
    frozen_episodes: dict[str, dict[str, list[list[int]]]]
    max_steps: int
    success_rule: str
    execution_horizon: int
    cameras: tuple[str, ...]
    image_size: int
    episode_timeout_s: float
    options: dict[str, Any]

    def episodes(self, task: str, block: str = "test", count: int | None = None) -> list[Episode]:
        """The fixed episode list of a task: the frozen ones, then drawn ones.

        Drawn episodes have consecutive seeds, and variations drawn uniformly from a fixed stream. A longer list starts
        with the shorter one, so `--quick` runs a prefix of the full protocol. Where the block has repeats, the list
        goes through all its initial states once, then again with the next repeat.

        Raises:
            InputError: Unknown task or seed block, or more episodes than the block has seeds.
        """
        self.check_tasks([task])
        if block not in self.seeds:
            raise InputError(f"unknown seed block {block!r}; this suite has {', '.join(self.seeds)}.")
        seeds = self.seeds[block]
        count = self.episodes_per_task if count is None else count
        if not 1 <= count <= seeds.episodes:
            raise InputError(f"--episodes must lie between 1 and {seeds.episodes} for the {block} seeds, got {count}.")
        # The stream is keyed by names, not positions: adding a task leaves the others' episodes as they were.
        key = hashlib.sha256(f"{self.name}/{task}/{block}".encode()).digest()
        rng = np.random.default_rng(np.frombuffer(key, dtype=np.uint32))
        variations = rng.integers(self.tasks[task], size=min(count, seeds.count))
        pairs = [(int(variation), seeds.start + k) for k, variation in enumerate(variations)]
        frozen = [(variation, seed) for variation, seed in self.frozen_episodes.get(block, {}).get(task, [])]
        states = (frozen + pairs[len(frozen) :])[:count]
        return [Episode(self.name, task, *states[k % len(states)], k // len(states)) for k in range(count)]

    def check_tasks(self, tasks: Iterable[str]) -> None:
        """Raises InputError for a task that the suite does not have."""
        for task in tasks:
            if task not in self.tasks:
                raise InputError(
                    f"suite {self.name!r} has no task {task!r}.{nearest(task, self.tasks)} "
                    f"Its tasks: {', '.join(self.tasks)}."
                )

    def make(self, task: str, sim: str | None = None, **options: Any) -> Env:
        """Builds the environment of a task.

        Args:
            task: Task name.
            sim: One of `simulators`; None for the first.
            options: Adapter options that do not belong to the protocol (such as a data folder).

        Raises:
            InputError: Unknown task or simulator, or the simulator is not installed (the message says how to).
        """
        sim = self.resolve_sim(sim)
        self.check_tasks([task])
        module, function = self.adapter.split(":")
        env: Env = getattr(import_module(module), function)(self, task, sim, options)
        return env

    def spec(self, task: str, sim: str | None = None) -> TaskSpec:
        """A task's facts, from the adapter module's `task_spec(suite, task, sim)` or, without one, an environment.

        Raises:
            InputError: As `make`.
        """
        sim = self.resolve_sim(sim)
        self.check_tasks([task])
        offered = getattr(import_module(self.adapter.split(":")[0]), "task_spec", None)
        if offered is not None:
            spec: TaskSpec = offered(self, task, sim)
            return spec
        env = self.make(task, sim)
        env.close()
        return env.spec

    def with_demos(self, sim: str, demos: Path, episodes: Iterable[Episode]) -> tuple["Suite", list[Episode]]:
        """The suite and its episodes when each starts as a stored demonstration did.

        The adapter module's `stored_episodes(suite, sim, demos, episodes)` says which demonstration an episode starts
        as, whose variation becomes the episode's, and returns the episodes and the dataset's digest. The digest is an
        option and so part of the protocol; where the dataset lies is not. Build environments with
        `make(task, sim, demos=demos)` of the suite that is returned.

        Raises:
            InputError: The back end has no stored demonstrations, or the folder lacks one.
        """
        offered = getattr(import_module(self.adapter.split(":")[0]), "stored_episodes", None)
        if offered is None:
            raise InputError(f"suite {self.name!r} has no stored demonstrations: leave --demos out.")
        found: list[Episode]
        found, digest = offered(self, sim, demos, list(episodes))
        return replace(self, options=self.options | {"demos": digest}), found

    def resolve_sim(self, sim: str | None) -> str:
        """The simulator to use: the given one if the suite runs on it, the first for None.

        Raises:
            InputError: The suite does not run on it.
        """
        sim = sim or self.simulators[0]
        if sim not in self.simulators:
            raise InputError(
                f"suite {self.name!r} does not run on {sim!r}.{nearest(sim, self.simulators)} "
                f"Choose one of: {', '.join(self.simulators)}."
            )
        return sim

    def protocol(self, specs: Iterable[TaskSpec]) -> dict[str, Any]:
        """Everything that could change a number, as plain data, for the given tasks' specs.

        How many tasks and episodes of the protocol a run covers is the run's business, not the protocol's: the
        record lists its episodes, and each episode is a function of its ids.
        """
        shared: dict[str, Any] = {
            "suite": self.name,
            "seeds": {name: block.facts() for name, block in self.seeds.items()},
            "execution_horizon": self.execution_horizon,
            "options": self.options,
        }
        common = None
        for spec in specs:
            facts = asdict(spec)
            for varying in ("task", "variations"):
                facts.pop(varying)
            if common is not None and facts != common:
                raise ValueError(f"tasks of suite {self.name!r} declare different protocols")
            common = facts
        return shared | {"task_facts": common}


def protocol_hash(protocol: dict[str, Any]) -> str:
    """The first 12 hex digits of the SHA-256 of the protocol's canonical JSON. Tables never mix two hashes."""
    text = json.dumps(protocol, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def suite_names() -> list[str]:
    """Names of the suites that ship with the package."""
    return sorted(path.stem for path in SUITES_DIR.glob("*.yaml"))


def load_suite(name: str) -> Suite:
    """Reads a suite by name, or from the path of a YAML file.

    Raises:
        InputError: No such suite, or its file has unknown, missing or contradictory entries.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else SUITES_DIR / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"unknown suite {name!r}.{nearest(name, suite_names())} Known: {', '.join(suite_names())}.")
    try:
        data = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} holds no entries: begin with a copy of {SUITES_DIR / 'mock.yaml'}.")
    known = {f.name for f in fields(Suite)}
    for entry in data.keys() - known:
        raise InputError(f"{path}: unknown entry {entry!r}.{nearest(str(entry), known)}")
    if missing := sorted(known - data.keys()):
        raise InputError(f"{path}: entries are missing: {', '.join(missing)}.")
    try:
        data["seeds"] = {block: SeedBlock(**entry) for block, entry in data["seeds"].items()}
        for entry in ("simulators", "cameras"):
            data[entry] = tuple(data[entry])
        suite = Suite(**data)
        _check(suite, path)
    except InputError:
        raise
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: an entry is not of the kind that mock.yaml shows ({error}).") from error
    return suite


def _check(suite: Suite, path: Path) -> None:
    for block in ("train", "validation", "test"):
        if block not in suite.seeds:
            raise InputError(f"{path}: seed block {block!r} is missing.")
    for name, seeds in suite.seeds.items():
        if seeds.count < 1 or seeds.repeats < 1:
            raise InputError(f"{path}: seed block {name!r}: count and repeats must be at least 1.")
    blocks = sorted(suite.seeds.items(), key=lambda item: item[1].start)
    for (name, seeds), (other, following) in pairwise(blocks):
        if seeds.stop > following.start:
            raise InputError(f"{path}: seed blocks {name!r} and {other!r} overlap.")
    for block, tasks in suite.frozen_episodes.items():
        if block not in suite.seeds or set(tasks) != set(suite.tasks):
            raise InputError(f"{path}: frozen_episodes {block!r} must be a seed block and list every task.")
        for task, pairs in tasks.items():
            _check_frozen(suite, block, task, pairs, path)
    for entry in ("max_steps", "execution_horizon", "episodes_per_task", "quick_episodes_per_task", "image_size"):
        if not isinstance(value := getattr(suite, entry), int) or value < 1:
            raise InputError(f"{path}: {entry} must be a whole number, at least 1, not {value!r}.")
    for task, variations in suite.tasks.items():
        if not isinstance(variations, int) or variations < 1:
            raise InputError(f"{path}: task {task!r} needs at least one variation, not {variations!r}.")
    if suite.success_rule not in ("success_once", "success_at_end"):
        raise InputError(f"{path}: success_rule must be success_once or success_at_end, not {suite.success_rule!r}.")


def _check_frozen(suite: Suite, block: str, task: str, pairs: list[list[int]], path: Path) -> None:
    """Consecutive seeds from the block's start, so that a list can be continued without meeting a seed twice."""
    seeds = suite.seeds[block]
    for k, (variation, seed) in enumerate(pairs):
        if seed != seeds.start + k or k >= seeds.count:
            raise InputError(
                f"{path}: frozen_episodes {block}, {task}: entry {k} has seed {seed}, not {seeds.start + k}."
            )
        if not 0 <= variation < suite.tasks[task]:
            raise InputError(f"{path}: frozen_episodes {block}, {task}: there is no variation {variation}.")
