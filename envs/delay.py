"""Success against delay: plays policies on the same episodes under several latencies, and writes a table and a record.

The simulation goes on while a policy computes, as envs/clock.py says. Each policy and latency is an evaluation with a
record of its own, in a folder beside the sweep's.

Examples:
- python -m envs.delay --suite mock_servo --policies expert zero --latencies none 50ms 100ms 200ms
- python -m envs.delay --suite rlbench18 --policies drifting flow --latencies none 1s --tasks turn_tap --workers 2
- python -m envs.delay --suite rlbench18 --policies drifting --latencies none measured --device cuda
- python -m envs.delay --suite dynamic --policies drifting flow=runs/train/flow/checkpoint.safetensors
"""

import shlex
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from envs.clock import ticks_of
from envs.console import exit_code, file_name, run_in_console
from envs.latency_sources import parse_latency
from envs.runner import Evaluation, EvaluationPlan
from envs.spec import InputError
from envs.suite import load_suite
from envs.worker import WorkerPlan
from policies.named import read_policy
from results.delay import DelayPoint, DelaySweep, delay_table, write_sweep
from results.provenance import circumstances
from results.records import Run, percentiles


@dataclass(frozen=True)
class Config:
    """What to play, and under which latencies."""

    suite: str
    """Name of a suite, or path of a suite's YAML file."""
    policies: tuple[str, ...]
    """Policies, as for envs.run --policy; flow:1 for other forward passes, flow=CHECKPOINT for other weights."""
    latencies: tuple[str, ...] = ("none", "50ms", "100ms", "200ms", "400ms")
    """Times of a call, as for envs.run --latency: none, measured, 120ms, timing:FILE, trace:FILE."""
    tasks: tuple[str, ...] = ()
    """Tasks to play; by default all of the suite's."""
    episodes: int | None = None
    """Episodes a task; by default the suite's number."""
    seeds: Literal["test", "validation", "train"] = "test"
    """Block of seeds that the episodes come from."""
    workers: int = 1
    """Processes, one simulator each. Changes the time, not the results."""
    sim: str | None = None
    """Simulator back end; by default the suite's first."""
    device: str = "cpu"
    """Where the policies run: cpu, cuda, cuda:1."""
    policy_seed: int = 0
    """Seed of the policies' own randomness."""
    out: Path | None = None
    """Path of the sweep's record; by default runs/delay/<UTC time>.json. Those of its runs go to a folder beside it."""
    resume: bool = False
    """Go on with the sweep at --out."""


@dataclass(frozen=True)
class Cell:
    """A policy and a latency, as they are called, and their evaluation."""

    policy: str
    latency: str
    plan: EvaluationPlan


def make_cells(config: Config, out: Path) -> list[Cell]:
    """The evaluations of a sweep, by policy, then latency.

    Raises:
        InputError: The configuration asks for something that does not exist, or contradicts itself.
    """
    suite = load_suite(config.suite)
    sim = suite.resolve_sim(config.sim)
    suite.check_tasks(config.tasks)
    for option, names in (("policies", config.policies), ("latencies", config.latencies), ("tasks", config.tasks)):
        if len(set(names)) < len(names):
            raise InputError(f"--{option} names one twice: name each once.")
    if not config.policies or not config.latencies:
        raise InputError("there is nothing to play: give --policies and --latencies at least one each.")
    policies = [read_policy(word) for word in config.policies]
    labels = [policy.label for policy in policies]
    if len(set(labels)) < len(labels):
        raise InputError(
            f"two of the policies {', '.join(config.policies)} have one name, which the table could not tell apart: "
            "sweep them one by one."
        )
    tasks = [task for task in suite.tasks if task in (config.tasks or suite.tasks)]
    episodes = tuple(episode for task in tasks for episode in suite.episodes(task, config.seeds, config.episodes))
    cells = []
    for policy in policies:
        for text in config.latencies:
            plan = EvaluationPlan(
                worker=WorkerPlan(
                    suite,
                    sim,
                    policy.name,
                    policy.checkpoint,
                    config.device,
                    policy.nfe,
                    config.policy_seed,
                    latency=parse_latency(text, policy.label),
                ),
                episodes=episodes,
                seed_block=config.seeds,
                out=out.with_suffix("") / file_name(policy.label) / f"{file_name(text)}.jsonl",
                workers=config.workers,
                resume=config.resume,
                config=_plain(config)
                | {"policy": policy.name, "nfe": policy.nfe, "checkpoint": policy.checkpoint, "latency": text},
            )
            Evaluation(plan)  # refuses what cannot be before anything is played
            cells.append(Cell(policy.label, text, plan))
    return cells


def point_of(cell: Cell, run: Run, folder: Path) -> DelayPoint:
    """What a run found."""
    hz = run.header.protocol.get("latency", {}).get("tick_hz", 0.0)
    delays = [seconds for episode in run.episodes for seconds in episode.delays_s or ()]
    ticks = [ticks_of(seconds, hz) for seconds in delays]
    return DelayPoint(
        policy=run.header.policy.name,
        latency=cell.latency,
        successes=sum(episode.outcome == "success" for episode in run.episodes),
        n=len(run.episodes),
        errors=sum(episode.outcome == "error" for episode in run.episodes),
        delay_ms=percentiles(1000 * seconds for seconds in delays),
        ticks=percentiles(ticks),
        waited_s=round(sum(ticks) / hz / len(run.episodes), 3) if ticks else 0.0,
        steps=round(sum(episode.steps for episode in run.episodes) / len(run.episodes), 3),
        protocol_hash=run.header.protocol_hash,
        record=str(run.path.relative_to(folder)),
    )


def sweep(config: Config, arguments: list[str]) -> int:
    """Plays a sweep, prints its table and writes its record.

    Args:
        config: What to play.
        arguments: The command line that it came from.

    Returns:
        Exit code: 0, or 130 when it was interrupted.

    Raises:
        InputError: The configuration cannot be played.
    """
    out = sweep_path(config)
    cells = make_cells(config, out)
    runs: dict[int, Run] = {}
    # Those with a latency first: a suite that cannot let time pass says so at once.
    for k in sorted(range(len(cells)), key=lambda k: cells[k].plan.worker.latency is None):
        print(f"{cells[k].policy} · latency {cells[k].latency}", flush=True)
        try:
            run, interrupted, _ = run_in_console(cells[k].plan)
        except Exception:
            if any(cell.plan.out.exists() for cell in cells):
                print(f"what was finished is kept; to go on, add --resume --out {out}", file=sys.stderr)
            raise
        if interrupted or run is None:
            break
        runs[k] = run
    complete = len(runs) == len(cells)
    if not complete:
        print(f"interrupted; to go on, add --resume --out {out}", file=sys.stderr)
    if not runs:
        return 130
    points = tuple(point_of(cells[k], runs[k], out.parent) for k in sorted(runs))
    protocols = [runs[k].header.protocol for k in sorted(runs)]
    rates = [protocol["latency"]["tick_hz"] for protocol in protocols if "latency" in protocol]
    here = circumstances(next(iter(runs.values())).header.hardware["device"])
    record = DelaySweep(
        **here,
        command=shlex.join(["python", "-m", "envs.delay", *arguments]),
        config=_plain(config),
        tick_hz=rates[0] if rates else None,
        control_hz=protocols[0]["task_facts"]["control_hz"],
        points=points,
        complete=complete,
    )
    write_sweep(out, record)
    print(delay_table(points))
    if record.control_hz is None:
        print("Keyframe control: the robot stands still while a policy computes; a delay costs time, and success only")
        print("where something else moves.")
    print(f"record: {out}")
    return 0 if complete else 130


def sweep_path(config: Config) -> Path:
    """Where the sweep's record goes.

    Raises:
        InputError: `--out` is not a .json file's name, is there already, or is not named where it must be.
    """
    if config.out is None:
        if config.resume:
            raise InputError("--resume needs the path of the sweep's record: add --out.")
        return Path("runs/delay") / f"{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}.json"
    if config.out.suffix != ".json":
        raise InputError(f"--out must end in .json, got {config.out}.")
    if config.out.exists() and not config.resume:
        raise InputError(f"{config.out} exists already: add --resume to go on with it, or choose another --out.")
    return config.out


def _plain(config: Config) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(config).items()}


def main(arguments: list[str] | None = None) -> int:
    """Command line entry. Returns the exit code: 0, 1 when a worker died, 2 for bad input, 130 when interrupted."""
    described = Annotated[Config, tyro.conf.arg(name="")]
    config = tyro.cli(described, args=arguments, description=__doc__, prog="python -m envs.delay")
    return exit_code(lambda: sweep(config, sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    sys.exit(main())
