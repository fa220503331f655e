"""Says why the failed episodes of a record failed: which milestone each missed, by which action, and what was wrong.

The simulation depends on the actions alone, so the record's own are played again, without the policy and its weights.
`--rerun` asks the policy itself once more, with the same seeds, and says whether it ends every episode as it did then.
How a failure is explained: see `envs/failures.py`.

Examples:
- python -m envs.diagnose results/records/rlbench18/drifting/test.jsonl --workers 2
- python -m envs.diagnose RECORD.jsonl --tasks close_jar --videos 3
- python -m envs.diagnose RECORD.jsonl --markdown docs/failures.md
- python -m envs.diagnose RECORD.jsonl --rerun --checkpoint path/to/checkpoint.safetensors
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from envs.cases import Diagnosis, diagnose_run, write_json, write_markdown
from envs.console import exit_code, record_path, run_in_console
from envs.recorded import check_protocol, differences, load_run, selected
from envs.runner import EvaluationPlan
from envs.spec import Episode, InputError
from envs.suite import Suite, load_suite
from envs.worker import WorkerPlan
from results.records import EpisodeRecord, Run


@dataclass(frozen=True)
class Config:
    """What to explain."""

    record: tyro.conf.Positional[Path]
    """The record of a run."""
    tasks: tuple[str, ...] = ()
    """Tasks to explain; by default all of the record's."""
    episodes: tuple[str, ...] = ()
    """Ids of episodes to explain, such as turn_tap/v001/s2000000; by default all that failed."""
    workers: int = 1
    """Processes, one simulator each."""
    rerun: bool = False
    """Ask the policy itself again instead of playing the actions that it gave."""
    checkpoint: str | None = None
    """Weights for --rerun; by default those that the record's run was given."""
    device: str = "cpu"
    """Where the policy runs with --rerun."""
    suite: str | None = None
    """Path of the suite's YAML file, for a suite of your own; by default found by the record's suite name."""
    videos: int = 0
    """Write videos of this many failures a task, beside the result."""
    out: Path | None = None
    """Path of the result; by default <record>_failures.json beside the record."""
    markdown: Path | None = None
    """Also write the table as Markdown here, such as docs/failures.md."""


def diagnose(config: Config) -> int:
    """Explains a record's failures, prints a table and writes the result.

    Returns:
        Exit code: 0, 1 when an episode did not end as recorded, 130 when interrupted.

    Raises:
        InputError: The record does not fit this installation, or the suite has no expert keyframes.
    """
    if config.workers < 1 or config.videos < 0:
        raise InputError("--workers must be at least 1 and --videos at least 0.")
    if config.checkpoint is not None and not config.rerun:
        raise InputError(
            "--checkpoint is for --rerun: the record's actions need no weights. Add it, or leave both out."
        )
    out = config.out or config.record.with_name(f"{config.record.stem}_failures.json")
    if out.suffix != ".json":
        raise InputError(f"--out must end in .json, got {out}.")
    run = load_run(config.record)
    suite = load_suite(config.suite or run.header.suite)
    chosen = selected(run, config.tasks, config.episodes)
    failed = [record for record in chosen if record.outcome == "failure"]
    if not failed:
        raise InputError(f"{run.path} has no failed episode among the {len(chosen)} chosen: nothing to explain.")
    if run.header.config.get("demos"):
        raise InputError(f"{run.path} started from stored demonstrations, which have no expert keyframes here.")
    check_protocol(run, suite, list(dict.fromkeys(record.task for record in failed)))
    console = Console(highlight=False, soft_wrap=True)
    changed, stopped = 0, False
    if config.rerun:
        again, stopped, console = run_in_console(_rerun_plan(config, run, suite, failed))
        before = {record.id: record for record in failed}
        found = list(again.episodes) if again is not None else []
        for record in found:
            names = list(differences(before[record.id], record))
            if names:
                changed += 1
                console.print(f"{record.id} differs from the record in {', '.join(names)}", markup=False)
        if again is not None:
            _say_other_policy(run, again, console)
        failed = [record for record in found if record.outcome == "failure"]
    folder = out.parent / f"{out.stem}_videos"
    diagnosis = diagnose_run(
        run, suite, chosen, failed, config.workers, console, (folder, config.videos) if config.videos else None
    )
    if not diagnosis.cases:
        print("interrupted; nothing was explained, nothing was written.", file=sys.stderr)
        return 130
    _write(diagnosis, out, config.markdown, console)
    departed = sum(case.finding is None for case in diagnosis.cases) + changed
    return 130 if stopped or not diagnosis.complete else int(bool(departed))


def _rerun_plan(config: Config, run: Run, suite: Suite, failed: list[EpisodeRecord]) -> EvaluationPlan:
    """The evaluation that plays the failed episodes with the policy itself."""
    settings = run.header.config
    if "policy" not in settings:
        raise InputError(f"{run.path} does not say how its policy is made: leave --rerun out.")
    return EvaluationPlan(
        worker=WorkerPlan(
            suite=suite,
            sim=run.header.sim,
            policy=settings["policy"],
            checkpoint=config.checkpoint or settings.get("checkpoint"),
            device=config.device,
            nfe=settings.get("nfe"),
            policy_seed=run.header.policy_seed,
        ),
        episodes=tuple(Episode(suite.name, record.task, record.variation, record.seed) for record in failed),
        seed_block=run.header.seed_block["name"],
        out=record_path(None, suite.name, "diagnose"),
        workers=config.workers,
        config={"record": str(run.path), "checkpoint": config.checkpoint, "policy": settings["policy"]},
    )


def _say_other_policy(run: Run, again: Run, console: Console) -> None:
    then, now = run.header.policy.checkpoint_sha256, again.header.policy.checkpoint_sha256
    if then != now:
        console.print(f"other weights than the record's: {(now or 'none')[:12]}, then {(then or 'none')[:12]}")


def _write(diagnosis: Diagnosis, out: Path, markdown: Path | None, console: Console) -> None:
    for line in diagnosis.summary():
        console.print(line, markup=False)
    write_json(diagnosis, out)
    console.print(f"explained: {out}", markup=False)
    if markdown is not None:
        write_markdown(diagnosis, markdown)
        console.print(f"table: {markdown}", markup=False)


def main(arguments: list[str] | None = None) -> int:
    """Command line entry. Returns the exit code: see `diagnose`; 1 when a simulator broke, 2 for bad input."""
    described = Annotated[Config, tyro.conf.arg(name="")]
    config = tyro.cli(described, args=arguments, description=__doc__, prog="python -m envs.diagnose")
    return exit_code(lambda: diagnose(config))


if __name__ == "__main__":
    sys.exit(main())
