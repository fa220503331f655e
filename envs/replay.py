"""Plays a record's actions again, and says whether every episode ends as it did then.

The simulator, its version and the protocol must be the record's own. Exit code 1 when an episode differs.

Examples:
- python -m envs.replay results/records/rlbench18/drifting/test.jsonl --workers 2
- python -m envs.replay runs/rlbench18/drifting/20260101T000000Z.jsonl --tasks turn_tap --video
- python -m envs.replay runs/mock/random/20260101T000000Z.jsonl --episodes reach/v001/s2000000
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from envs.console import exit_code, record_path, run_in_console, videos_folder
from envs.recorded import check_protocol, differences, load_run, selected
from envs.runner import EvaluationPlan
from envs.spec import Episode, InputError
from envs.suite import load_suite
from envs.worker import WorkerPlan
from results.records import Run


@dataclass(frozen=True)
class Config:
    """What to play again."""

    record: tyro.conf.Positional[Path]
    """The record of a run."""
    tasks: tuple[str, ...] = ()
    """Tasks to replay; by default all of the record's."""
    episodes: tuple[str, ...] = ()
    """Ids of episodes to replay, such as turn_tap/v001/s2000000; by default all."""
    workers: int = 1
    """Processes, one simulator each."""
    suite: str | None = None
    """Path of the suite's YAML file, for a suite of your own; by default found by the record's suite name."""
    demos: Path | None = None
    """Folder of the stored demonstrations that the episodes start as; by default the one of then, if any."""
    video: bool = False
    """Write an mp4 of each episode beside the replay's own record."""
    out: Path | None = None
    """Path of the replay's own record; by default runs/<suite>/replay/<UTC time>.jsonl."""


def make_plan(config: Config, run: Run) -> EvaluationPlan:
    """The evaluation that plays the record again.

    Raises:
        InputError: The record does not fit this installation, or has no such episodes.
    """
    header = run.header
    suite = load_suite(config.suite or header.suite)
    # Those that ended in an error are left out: their actions are not all there.
    chosen = [record for record in selected(run, config.tasks, config.episodes) if record.outcome != "error"]
    if not chosen:
        raise InputError(f"{run.path} has no episode to replay (those that ended in an error cannot be).")
    episodes = [Episode(suite.name, record.task, record.variation, record.seed, record.repeat) for record in chosen]
    given = config.demos or header.config.get("demos")
    demos = None if given is None else Path(given).resolve()
    if demos is not None:
        suite, stored = suite.with_demos(header.sim, demos, episodes)
        if stored != episodes:
            raise InputError(f"the demonstrations in {demos} are not those of the record: add --demos DIR.")
    check_protocol(run, suite, list(dict.fromkeys(record.task for record in chosen)))
    out = record_path(config.out, suite.name, "replay")
    plain = asdict(config) | {"demos": demos}
    return EvaluationPlan(
        worker=WorkerPlan(
            suite=suite,
            sim=header.sim,
            policy="replay",
            checkpoint=str(config.record),
            policy_seed=header.policy_seed,
            videos=videos_folder(out) if config.video else None,
            demos=demos,
        ),
        episodes=tuple(episodes),
        seed_block=header.seed_block["name"],
        out=out,
        workers=config.workers,
        config={name: str(value) if isinstance(value, Path) else value for name, value in plain.items()},
    )


def replay(config: Config) -> int:
    """Replays a record and prints what differs.

    Returns:
        Exit code: 0 when every episode ended as recorded, 1 when one did not, 130 when interrupted.

    Raises:
        InputError: See `make_plan`.
    """
    recorded = load_run(config.record)
    plan = make_plan(config, recorded)
    replayed, interrupted, console = run_in_console(plan)
    before = {record.id: record for record in recorded.episodes}
    after = replayed.episodes if replayed is not None else ()
    changed = {record.id: differences(before[record.id], record) for record in after}
    changed = {key: fields for key, fields in changed.items() if fields}
    for key, fields in changed.items():
        shown = ((name, *values) for name, values in fields.items() if name != "actions")
        text = "; ".join(f"{name}: recorded {old!r}, replayed {new!r}" for name, old, new in shown)
        console.print(f"{key} differs: {text or 'actions'}", markup=False)
    same, lacking = len(after) - len(changed), len(plan.episodes) - len(after)
    errors = sum(record.outcome == "error" for record in selected(recorded, config.tasks, config.episodes))
    notes = [f"{lacking} not played"] * bool(lacking) + [f"{errors} recorded errors left out"] * bool(errors)
    console.print(f"{same} of {len(plan.episodes)} episodes ended as recorded{''.join(f', {note}' for note in notes)}")
    console.print(f"record of the replay: {plan.out}", markup=False)
    return 130 if interrupted else int(bool(changed))


def main(arguments: list[str] | None = None) -> int:
    """Command line entry. Returns the exit code: see `replay`; 1 when a worker died, 2 for bad input."""
    described = Annotated[Config, tyro.conf.arg(name="")]
    config = tyro.cli(described, args=arguments, description=__doc__, prog="python -m envs.replay")
    return exit_code(lambda: replay(config))


if __name__ == "__main__":
    sys.exit(main())
