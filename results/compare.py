"""Compares policies on the episodes that all of them played, and says in one sentence a pair what that shows.

Differences are paired by episode: the first policy's success rate less the second's. A verdict needs a p-value of at
most 0.05 after Holm's correction over all pairs, and 95 % of the attempted episodes scored; errors count as failures.
It holds for these policies as they are, not for training them again.

Examples:
- python -m results.compare rlbench18/drifting rlbench18/flow
- python -m results.compare runs/rlbench18/mine/20260101T000000Z.jsonl rlbench18/drifting --common
- python -m results.compare rlbench18/drifting rlbench18/flow rlbench18/random --margin 3
- python -m results.compare rlbench18/drifting rlbench18/flow --json
- python -m results.compare runs/rlbench18/drifting_vs_flow/20260101T000000Z
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from envs.spec import InputError
from results.comparison import compare
from results.comparison_text import as_data, as_text
from results.labels import labels_of
from results.locate import find_record
from results.paired import PairingError
from results.records import RecordError, Run, read_run
from results.verdict import MARGIN


@dataclass(frozen=True)
class Config:
    """What to compare."""

    records: tyro.conf.Positional[tuple[str, ...]]
    """Two or more: record files, folders that hold one, or suite/policy for a committed record. Or one folder that
    holds them all, as `envs.run --until` writes it."""
    margin: float = 100 * MARGIN
    """Percentage points that would not matter; an undecided verdict says what is shown to be within them."""
    common: bool = False
    """Compare runs of different episodes on those that both hold, such as a --quick run with a full one."""
    json: bool = False
    """Print JSON instead of text."""


def load(names: Sequence[str]) -> list[tuple[str, Run]]:
    """The runs meant, each with a name of its own: see `labels_of`.

    Raises:
        InputError: Fewer than two, one of them twice, or no such record.
        RecordError: A record is damaged.
    """
    if len(names) == 1 and Path(names[0]).is_dir():
        names = [str(path) for path in sorted(Path(names[0]).glob("*.jsonl"))]
    if len(names) < 2:
        raise InputError(
            "a comparison needs two records at least, such as rlbench18/drifting rlbench18/flow, or a folder of them."
        )
    paths = [find_record(name) for name in names]
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("a record is named twice: name each once.")
    runs = [read_run(path) for path in paths]
    return list(zip(labels_of(runs), runs, strict=True))


def main(arguments: list[str] | None = None) -> int:
    """Command line entry. Returns the exit code: 0 whatever the verdict, 2 for bad input."""
    described = Annotated[Config, tyro.conf.arg(name="")]
    config = tyro.cli(described, args=arguments, description=__doc__, prog="python -m results.compare")
    try:
        if not 0 < config.margin < 100:
            raise InputError(f"--margin is a number of percentage points between 0 and 100, got {config.margin:g}.")
        named = load(config.records)
        comparisons = compare(named, config.common)
    except (InputError, RecordError, PairingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    margin = config.margin / 100
    if config.json:
        print(json.dumps(as_data(named, comparisons, margin), indent=2))
    else:
        print(as_text(named, comparisons, margin))
    return 0


if __name__ == "__main__":
    sys.exit(main())
