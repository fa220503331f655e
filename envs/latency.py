"""Times policies side by side, call by call in turn, and writes a record. Needs no simulator.

Examples:
- python -m envs.latency --policies drifting diffusion diffusion:10 flow flow:1 mse
- python -m envs.latency --policies drifting flow --size base --device cuda --compile --cuda-graphs
- python -m envs.latency --policies drifting diffusion:10 --size base --backbone none
- python -m envs.latency --policies drifting flow --size base --backbone-calls 10 --calls 100
"""

import os
import resource
import shlex
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from envs.console import exit_code
from envs.latency_config import Config, check
from envs.latency_progress import LatencyProgress
from envs.spec import InputError, Observation, TaskSpec
from envs.suite import load_suite
from envs.timing import Subject, Timing
from results.latency import CallTimes, LatencyRecord, PolicyLatency, write_latency
from results.latency_tables import latency_tables
from results.provenance import circumstances

if TYPE_CHECKING:
    from policies.timed import Lineup

VIEW_SIZE = 448  # pixels: what a Qwen3-VL backbone resizes views to


def observe(config: Config) -> tuple[TaskSpec, Observation]:
    """The task and observation to time with.

    Raises:
        InputError: The suite or its simulator is missing, or has too few cameras.
    """
    from policies.untrained import synthetic_observation, synthetic_task

    if config.size == "base" and config.observation == "synthetic":
        task = synthetic_task(config.views, VIEW_SIZE)
        return task, synthetic_observation(task)
    suite = load_suite(config.suite)
    name = next(iter(suite.tasks))
    if config.observation == "synthetic":
        task = suite.spec(name)
        return task, synthetic_observation(task)
    env = suite.make(name)
    try:
        task, obs = env.spec, env.reset(suite.episodes(name, count=1)[0])
    finally:
        env.close()
    if config.size == "base":
        if len(task.cameras) < config.views:
            raise InputError(f"suite {suite.name!r} has {len(task.cameras)} cameras: choose fewer --views.")
        task = replace(task, cameras=task.cameras[: config.views])
    return task, obs


def assemble(config: Config, task: TaskSpec, obs: Observation) -> "Lineup":
    """Builds the policies.

    Raises:
        InputError: One cannot be built, or the machine lacks what is asked for.
    """
    import torch

    from model.qwen.config import DTYPES, QwenConfig, check_machine
    from policies.timed import compile_trunks, small_lineup
    from policies.timed_base import Backbone, base_lineup

    torch.set_num_threads(config.threads)
    if config.compile:
        check_machine(QwenConfig(compile=True))
    if config.size == "small":
        lineup = small_lineup(config.named(), task, config.device, DTYPES[config.precision])
    else:
        backbone = Backbone(QwenConfig(dtype=config.precision, image_size=VIEW_SIZE), config.backbone_use)
        lineup = base_lineup(config.named(), task, obs, config.device, backbone)
    if config.compile:
        compile_trunks(lineup, config.cuda_graphs)
    return lineup


def measure(config: Config, arguments: list[str]) -> int:
    """Times the policies, prints a table and writes the record.

    Args:
        config: What to time.
        arguments: The command line that it came from.

    Returns:
        Exit code: 0, or 130 when the run was interrupted.

    Raises:
        InputError: The configuration cannot be run.
    """
    check(config)
    try:
        task, obs = observe(config)
        load = os.getloadavg()
        lineup = assemble(config, task, obs)
    except ModuleNotFoundError as error:
        raise InputError(f"timing needs the package {error.name}: pip install -e '.[torch]'.") from error
    backbone: CallTimes | None = None
    timing = Timing([Subject(entry.name, partial(entry.call, obs)) for entry in lineup.entries])
    with LatencyProgress() as progress:
        complete = True
        if lineup.look is not None and config.backbone_calls is not None:
            apart = Timing([Subject("backbone", lineup.look)])
            complete = apart.run(config.backbone_warmups, config.backbone_calls, progress.of("backbone"))
            backbone = apart.times[0] if complete else None
        if complete:
            complete = timing.run(config.warmups, config.calls, progress.of("policies"))
    if not timing.rounds:
        print("interrupted; no policy was timed, nothing was written.", file=sys.stderr)
        return 130
    policies, conditions, peak = _facts(config, task, obs, lineup, timing.times)
    record = LatencyRecord(
        **circumstances(conditions.pop("device")),
        command=shlex.join(["python", "-m", "envs.latency", *arguments]),
        config=asdict(config) | {"out": None if config.out is None else str(config.out)},
        conditions=conditions | {"load_before": list(load), "load_after": list(os.getloadavg())},
        backbone=config.backbone_use,
        policies=policies,
        backbone_times=backbone,
        complete=complete,
        peak_memory_mb=peak,
    )
    out = config.out or Path("runs/latency") / f"{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}.json"
    write_latency(out, record)
    print(latency_tables([record]))
    print(f"record: {out}")
    return 0 if complete else 130


def _facts(
    config: Config, task: TaskSpec, obs: Observation, lineup: "Lineup", times: list[CallTimes]
) -> tuple[tuple[PolicyLatency, ...], dict[str, Any], dict[str, float]]:
    """Of the record: policies, conditions (with the device's name), peak memory."""
    import torch

    from policies.timed import context_tokens, described

    on_gpu = config.device.startswith("cuda")
    peak = {"host": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1)}
    if on_gpu:
        peak["device"] = round(torch.cuda.max_memory_allocated(config.device) / 1e6, 1)
    conditions = {
        "device": torch.cuda.get_device_name(config.device) if on_gpu else "cpu",
        "size": config.size,
        "dtype": config.precision,
        "compile": config.compiled,
        "threads": config.threads,
        "float32_matmul": torch.get_float32_matmul_precision(),
        "cuda": torch.version.cuda if on_gpu else None,
        "batch": 1,
        "task": f"{task.suite}/{task.task}",
        "observation": config.observation,
        "views": len(task.cameras),
        "image_size": VIEW_SIZE if config.size == "base" else task.cameras[0].height,
        "context_tokens": context_tokens(lineup, obs),
        "warmups": config.warmups,
        "backbone_warmups": config.backbone_warmups,
    }
    policies = tuple(
        PolicyLatency(entry.name, measured, **described(lineup, entry, obs, config.device))
        for entry, measured in zip(lineup.entries, times, strict=True)
    )
    return policies, conditions, peak


def main(arguments: list[str] | None = None) -> int:
    """Command line entry. Returns the exit code: 0, 2 for bad input, 130 when interrupted."""
    described = Annotated[Config, tyro.conf.arg(name="")]
    config = tyro.cli(described, args=arguments, description=__doc__, prog="python -m envs.latency")
    try:
        return exit_code(lambda: measure(config, sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:  # before the timing began, or once more while its record was made
        print("interrupted; nothing was written.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
