"""Makes one HTML page of one or several runs: tables, plots, and every episode with its video and replay command.

The page needs no other file and no network; the same records give the same bytes. All runs must share a protocol. A
folder stands for every record below it. Colours and rows follow the order in which runs are named. Where
`python -m envs.diagnose` has explained a record's failures, its result beside the record gives the reasons.

Examples:
- python -m results.report runs/rlbench18/drifting/20260101T000000Z.jsonl
- python -m results.report rlbench18/drifting rlbench18/flow
- python -m results.report results/records/rlbench18 --out runs/all.html
- python -m results.report RECORD.jsonl --partial --embed-videos
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from envs.spec import InputError
from results.page.document import build_page
from results.page.shown import Page, load_page
from results.records import RECORDS_DIR, RecordError


@dataclass(frozen=True)
class Config:
    """What to show."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Record files, folders with records, or suite/policy for a committed record."""
    out: Path | None = None
    """The page; by default report.html beside the first record, or below runs/ for a record of results/records."""
    partial: bool = False
    """Show runs too of which planned episodes are missing."""
    embed_videos: bool = False
    """Put videos of at most 1 MB into the page; by default it links to them where they lie."""


def default_out(page: Page) -> Path:
    """Where the page goes when nobody says: beside the first record, but never among the committed ones."""
    first = page.runs[0].run
    if first.path.resolve().is_relative_to(RECORDS_DIR.resolve()):
        folder = Path("runs") / first.header.suite
        return (folder if len(page.runs) > 1 else folder / first.path.resolve().parent.name) / "report.html"
    return first.path.with_name("report.html")


def report(config: Config) -> Path:
    """Writes the page.

    Returns:
        Its path.

    Raises:
        InputError: The records do not belong on one page, or the page cannot be written.
        RecordError: A record is missing or damaged.
    """
    if config.out is not None and config.out.suffix not in (".html", ".htm"):
        raise InputError(f"--out must end in .html, got {config.out}.")
    page = load_page(config.runs, config.partial)
    out = config.out or default_out(page)
    text = build_page(page, out.parent, config.embed_videos)
    partial = out.with_name(out.name + ".partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(text.encode())
        os.replace(partial, out)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}): choose another path with --out.") from error
    return out


def main(arguments: list[str] | None = None) -> int:
    """Command line entry. Returns the exit code: 0, or 2 for bad input."""
    described = Annotated[Config, tyro.conf.arg(name="")]
    config = tyro.cli(described, args=arguments, description=__doc__, prog="python -m results.report")
    try:
        print(report(config))
    except (InputError, RecordError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
