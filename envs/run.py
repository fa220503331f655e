"""Evaluates a policy on a suite, and writes a record: one line an episode, as it ends.

Examples:
- python -m envs.run --suite rlbench18 --policy drifting
- python -m envs.run --suite rlbench18 --policy drifting --quick --video
- python -m envs.run --suite rlbench18 --policy my_package.mine:MyPolicy --workers 2
- python -m envs.run --suite mock --policy expert --tasks reach --episodes 5
- python -m envs.run --suite rlbench18 --policy drifting --sim coppeliasim --demos /data/peract/test
"""

import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from envs.console import exit_code, record_path, run_in_console, videos_folder
from envs.progress import print_summary
from envs.runner import EvaluationPlan
from envs.spec import InputError
from envs.suite import load_suite
from envs.worker import WorkerPlan
from policies.registry import policy_target


@dataclass(frozen=True)
class Config:
    """What to evaluate, and how."""

    suite: str
    """Name of a suite, or path of a suite's YAML file."""
    policy: str
    """zero, random, expert, replay; drifting, diffusion, flow, mse, cimle, hybrid_queue; or your own module:Class."""
    checkpoint: str | None = None
    """Weights of the policy; by default the policy's own choice."""
    tasks: tuple[str, ...] = ()
    """Tasks to run; by default all of the suite's."""
    episodes: int | None = None
    """Episodes a task; by default the suite's number."""
    quick: bool = False
    """A first impression: the first few episodes of each task."""
    seeds: Literal["test", "validation", "train"] = "test"
    """Block of seeds that the episodes come from."""
    workers: int = 1
    """Processes, one simulator each. Changes the time, not the results."""
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
    video: bool = False
    """Write an mp4 of each episode beside the record."""
    out: Path | None = None
    """Path of the record; by default runs/<suite>/<policy>/<UTC time>.jsonl."""
    resume: bool = False
    """Go on with the record at --out."""


def make_plan(config: Config) -> EvaluationPlan:
    """Resolves a configuration.

    Raises:
        InputError: It asks for something that does not exist, or contradicts itself.
    """
    suite = load_suite(config.suite)
    policy_target(config.policy)
    if config.quick and config.episodes is not None:
        raise InputError("--quick and --episodes contradict each other: leave one out.")
    if config.resume and config.out is None:
        raise InputError("--resume needs the path of the record: add --out.")
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
    out = record_path(config.out, suite.name, config.policy)
    resolved = asdict(config) | {
        "tasks": tasks,
        "episodes": len(episodes) // len(tasks),
        "sim": sim,
        "demos": None if demos is None else str(demos),
        "out": str(out),
        "suite": suite.name,
    }
    return EvaluationPlan(
        worker=WorkerPlan(
            suite=suite,
            sim=sim,
            policy=config.policy,
            checkpoint=config.checkpoint,
            device=config.device,
            nfe=config.nfe,
            policy_seed=config.policy_seed,
            videos=videos_folder(out) if config.video else None,
            demos=demos,
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
    plan = make_plan(config)
    run, interrupted, console = run_in_console(plan)
    if run is not None:
        print_summary(run, console)
    if not interrupted:
        return 0
    if plan.out.exists():
        print(f"interrupted; what was finished is kept. To go on: {resume_command(plan, arguments)}", file=sys.stderr)
    else:
        print("interrupted; no episode was finished, nothing was written.", file=sys.stderr)
    return 130


def resume_command(plan: EvaluationPlan, arguments: list[str]) -> str:
    """The command that goes on with an interrupted run."""
    words = [word for word in arguments if word != "--resume"]
    if not any(word == "--out" or word.startswith("--out=") for word in words):
        words += ["--out", str(plan.out)]
    return shlex.join(["python", "-m", "envs.run", *words, "--resume"])


def main(arguments: list[str] | None = None) -> int:
    """Command line entry. Returns the exit code: 0, 1 when a worker died, 2 for bad input, 130 when interrupted."""
    described = Annotated[Config, tyro.conf.arg(name="")]
    config = tyro.cli(described, args=arguments, description=__doc__, prog="python -m envs.run")
    return exit_code(lambda: evaluate(config, sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    sys.exit(main())
