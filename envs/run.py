"""Evaluates a policy on a suite, and writes a record: one line an episode, as it ends.

Examples:
- python -m envs.run --suite rlbench18 --policy drifting
- python -m envs.run --suite rlbench18 --policy drifting --quick --video
- python -m envs.run --suite rlbench18 --policy my_package.mine:MyPolicy --workers 2
- python -m envs.run --suite mock --policy expert --tasks reach --episodes 5
- python -m envs.run --suite rlbench18 --policy drifting --sim coppeliasim --demos /data/peract/test
- python -m envs.run --suite mock_servo --policy expert --latency 120ms
- python -m envs.run --suite rlbench18 --until "drifting vs flow"
- python -m envs.run --suite dynamic --until "drifting vs flow:1=runs/train/flow/checkpoint.safetensors"
"""

import shlex
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from envs.console import exit_code, record_path, run_in_console, versus_paths, videos_folder
from envs.latency_sources import parse_latency
from envs.progress import print_summary
from envs.runner import EvaluationPlan
from envs.spec import InputError
from envs.suite import Suite, load_suite
from envs.worker import WorkerPlan
from policies.named import NamedPolicy, read_policy
from policies.registry import policy_target


@dataclass(frozen=True)
class Config:
    """What to evaluate, and how."""

    suite: str
    """Name of a suite, or path of a suite's YAML file."""
    policy: str | None = None
    """zero, random, expert, nearest, replay, chase (suite dynamic); drifting, diffusion, flow, mse, cimle,
    hybrid_queue; or your own module:Class."""
    until: str | None = None
    """Instead of --policy: two policies, such as "drifting vs flow", with other weights or forward passes as in
    "drifting=FILE vs flow:1=FILE". Both play the same episodes, a round of one of every task at a time, and stop as
    soon as one is shown to be better, at the latest after --episodes a task."""
    alpha: float | None = None
    """With --until: chance, at most, of calling one better when they are equal; by default 0.05."""
    checkpoint: str | None = None
    """Weights of the policy; by default those that ship for the suite, where some do."""
    tasks: tuple[str, ...] = ()
    """Tasks to run; by default all of the suite's."""
    episodes: int | None = None
    """Episodes a task; by default the suite's number."""
    quick: bool = False
    """A first impression: the first few episodes of each task."""
    seeds: Literal["test", "validation", "train"] = "test"
    """Block of seeds that the episodes come from."""
    workers: int = 1
    """Processes, one simulator each (each policy's own, with --until). Changes the time, not the results."""
    sim: str | None = None
    """Simulator back end; by default the suite's first."""
    demos: Path | None = None
    """Folder of stored demonstrations that the episodes start as (only --sim coppeliasim); by default drawn by seed."""
    device: str = "cpu"
    """Where the policy runs: cpu, cuda, cuda:1."""
    nfe: int | None = None
    """Forward passes of a sample, for diffusion and flow (such as 10 or 1); by default the policy's own number."""
    policy_seed: int = 0
    """Seed of the policy's own randomness."""
    latency: str = "none"
    """Time that a call of the policy takes in the simulation, which goes on meanwhile (see envs/clock.py): none,
    measured, a time such as 120ms, timing:FILE (what the policy took in a record of envs.latency; FILE#NAME for
    another one's times), or trace:FILE (times by episode and call, or the record of a run with a latency)."""
    video: bool = False
    """Write an mp4 of each episode beside the record."""
    out: Path | None = None
    """Path of the record; by default runs/<suite>/<policy>/<UTC time>.jsonl. With --until the folder of both records,
    by default runs/<suite>/<first>_vs_<second>/<UTC time>."""
    resume: bool = False
    """Go on with the record at --out, or with both."""


def make_plans(config: Config) -> list[EvaluationPlan]:
    """Resolves a configuration: one evaluation, or with --until two.

    Raises:
        InputError: It asks for something that does not exist, or contradicts itself.
    """
    suite = load_suite(config.suite)
    if config.resume and config.out is None:
        raise InputError("--resume needs the path of the record: add --out.")
    if config.until is not None:
        return _versus_plans(config, config.until, suite)
    if config.policy is None:
        raise InputError('nothing to evaluate: add --policy NAME, or two policies as in --until "drifting vs flow".')
    if config.alpha is not None:
        raise InputError("--alpha says when --until may stop: leave it out, or add --until.")
    policy_target(config.policy)
    policy = NamedPolicy(config.policy, config.nfe, config.checkpoint)
    return [_make_plan(config, suite, policy, record_path(config.out, suite.name, policy.name))]


def _versus_plans(config: Config, until: str, suite: Suite) -> list[EvaluationPlan]:
    # Here, not above: each worker process imports this file, and scipy takes a second.
    from results.paired import SIGNIFICANCE
    from results.sequential import parse_versus

    if config.policy is not None:
        raise InputError("--until names its two policies itself: leave --policy out.")
    for name, value, form in (
        ("checkpoint", config.checkpoint, "drifting=FILE vs flow=FILE"),
        ("nfe", config.nfe, "flow:10 vs flow:1"),
    ):
        if value is not None:
            raise InputError(f'--{name} would be that of both policies: name each one\'s in --until, as in "{form}".')
    alpha = SIGNIFICANCE if config.alpha is None else config.alpha
    if not 0 < alpha < 1:
        raise InputError(f"--alpha must lie between 0 and 1, got {alpha:g}.")
    # Repeats of one initial state are no independent evidence: each is played once.
    states = suite.seeds[config.seeds].count
    if config.episodes is not None and config.episodes > states:
        raise InputError(f"--until plays an initial state once, and suite {suite.name} has {states}: lower --episodes.")
    if config.episodes is None and not config.quick:
        config = replace(config, episodes=min(suite.episodes_per_task, states))
    words = parse_versus(until)
    policies = [read_policy(word) for word in words]
    config = replace(config, until=" vs ".join(words), alpha=alpha)
    paths = versus_paths(config.out, suite.name, [policy.label for policy in policies])
    return [_make_plan(config, suite, policy, path) for policy, path in zip(policies, paths, strict=True)]


def _make_plan(config: Config, suite: Suite, policy: NamedPolicy, out: Path) -> EvaluationPlan:
    """The evaluation of one policy, whose record goes to `out`."""
    if config.quick and config.episodes is not None:
        raise InputError("--quick and --episodes contradict each other: leave one out.")
    if len(set(config.tasks)) < len(config.tasks):
        raise InputError("--tasks names a task twice: name each once.")
    suite.check_tasks(config.tasks)
    # In the suite's order, whatever order they were named in.
    tasks = [task for task in suite.tasks if task in (config.tasks or suite.tasks)]
    count = suite.quick_episodes_per_task if config.quick else config.episodes
    episodes = tuple(episode for task in tasks for episode in suite.episodes(task, config.seeds, count))
    sim = suite.resolve_sim(config.sim)
    demos = None if config.demos is None else config.demos.resolve()
    if demos is not None:
        suite, stored = suite.with_demos(sim, demos, episodes)
        episodes = tuple(stored)
    latency = parse_latency(config.latency, policy.label)
    resolved = asdict(config) | {
        "policy": policy.name,
        "checkpoint": policy.checkpoint,
        "nfe": policy.nfe,
        "tasks": tasks,
        "episodes": len(episodes) // len(tasks),
        "sim": sim,
        "demos": None if demos is None else str(demos),
        "out": str(out),
        "suite": suite.name,
    }
    # A record says nothing of what it has nothing to do with.
    if latency is None:
        del resolved["latency"]
    if config.until is None:
        del resolved["until"], resolved["alpha"]
    return EvaluationPlan(
        worker=WorkerPlan(
            suite=suite,
            sim=sim,
            policy=policy.name,
            checkpoint=policy.checkpoint,
            device=config.device,
            nfe=policy.nfe,
            policy_seed=config.policy_seed,
            videos=videos_folder(out) if config.video else None,
            demos=demos,
            latency=latency,
        ),
        episodes=episodes,
        seed_block=config.seeds,
        out=out,
        workers=config.workers,
        resume=config.resume,
        config=resolved,
    )


def evaluate(config: Config, arguments: list[str]) -> int:
    """Runs an evaluation and prints its result.

    Args:
        config: What to evaluate.
        arguments: The command line that it came from, to say how to go on.

    Returns:
        Exit code: 0, or 130 when the run was interrupted.

    Raises:
        InputError: The configuration cannot be run.
    """
    plans = make_plans(config)
    out = plans[0].out if config.until is None else plans[0].out.parent
    sizes = _sizes(plans)
    try:
        interrupted = _play(plans)
    except Exception:
        if _sizes(plans) != sizes:
            print(f"what was finished is kept. To go on: {resume_command(out, arguments)}", file=sys.stderr)
        raise
    if not interrupted:
        return 0
    if any(plan.out.exists() for plan in plans):
        print(f"interrupted; what was finished is kept. To go on: {resume_command(out, arguments)}", file=sys.stderr)
    else:
        print("interrupted; no episode was finished, nothing was written.", file=sys.stderr)
    return 130


def _play(plans: list[EvaluationPlan]) -> bool:
    """Plays one policy, or two against each other; returns whether it was interrupted."""
    if len(plans) > 1:
        from envs.until import compare_in_console  # here, not above: see _versus_plans

        return compare_in_console(plans, plans[0].config["alpha"])
    run, interrupted, console = run_in_console(plans[0])
    if run is not None:
        print_summary(run, console)
    return interrupted


def _sizes(plans: list[EvaluationPlan]) -> list[int]:
    return [plan.out.stat().st_size if plan.out.exists() else 0 for plan in plans]


def resume_command(out: Path, arguments: list[str]) -> str:
    """The command that goes on with an interrupted run, whose record or folder is `out`."""
    words = [word for word in arguments if word != "--resume"]
    if not any(word == "--out" or word.startswith("--out=") for word in words):
        words += ["--out", str(out)]
    return shlex.join(["python", "-m", "envs.run", *words, "--resume"])


def main(arguments: list[str] | None = None) -> int:
    """Command line entry. Returns the exit code: 0, 1 when a worker died, 2 for bad input, 130 when interrupted."""
    described = Annotated[Config, tyro.conf.arg(name="")]
    config = tyro.cli(described, args=arguments, description=__doc__, prog="python -m envs.run")
    return exit_code(lambda: evaluate(config, sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    sys.exit(main())
