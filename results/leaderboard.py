"""Builds leaderboard.md and its plots from the committed records, and from nothing else.

    python -m results.leaderboard            rewrite leaderboard.md and results/pareto
    python -m results.leaderboard --check    exit with 1 if they are not what the records say

Rules: one table for each suite and protocol hash, never mixed. Only complete runs of the full protocol enter (all
planned episodes, test seeds, every episode of each of their tasks). Failures, planner failures and errors stay in n.
A policy that has not been run on every task of its table's suite has no mean. The page is a function of the records:
no dates, fixed order.
"""

import difflib
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from envs.spec import InputError
from results.entries import Entry, load_entries
from results.entry_tables import interval_table, run_table, success_table
from results.paired_section import paired_section
from results.pareto import pareto_svg, played_ms, points_of
from results.records import RECORDS_DIR, Header, RecordError, percentiles
from results.tables import hardware_text

MAX_DIFF_LINES = 30

_PICTURE_TEXT = "Success against the median time of a call; policies that no other one beats in both are joined"

INTRODUCTION = """\
# Leaderboard

Made from the records in [`results/records`](results/records) by `python -m results.leaderboard`; not edited by hand.

Success rates in percent. Brackets hold 95 % Wilson intervals; that of a mean pools all its episodes. It tells how well
these episodes pin down the rate on these tasks, not how the policy would do on others or when trained again. Every
episode counts: an action that cannot be executed, a planner that finds no path and an error are failures. Each table
is one protocol; numbers of different tables must not be compared.
"""


PICTURES = Path("results/pareto")  # beside the page


def build(records: Path) -> dict[Path, str]:
    """The page and the plots that it shows, by path relative to the page's folder.

    Raises:
        InputError: See `load_entries`.
        RecordError: A file is damaged.
    """
    tables: dict[tuple[str, str, bool, str], list[Entry]] = defaultdict(list)
    for entry in load_entries(records):
        header = entry.run.header
        tables[header.suite, header.sim, "latency" in header.protocol, header.protocol_hash].append(entry)
    page, made = INTRODUCTION, {}
    for key in sorted(tables):
        entries = sorted(tables[key], key=lambda entry: entry.rank)
        picture = pareto_svg(points_of([(entry.run, entry.mean) for entry in entries if entry.mean is not None]))
        suite, sim, _, protocol = key
        path = PICTURES / f"{suite}_{sim}_{protocol}.svg"
        if picture:
            made[path] = picture
        page += _section(entries, path if picture else None)
    if not tables:
        page += "\nThere are no records yet.\n"
    return {Path("leaderboard.md"): page} | made


def _section(entries: list[Entry], picture: Path | None) -> str:
    suite, header = entries[0].suite, entries[0].run.header
    facts = header.protocol["task_facts"]
    seeds, n = suite.seeds["test"], suite.episodes_per_task
    states = min(n, seeds.count)
    repeats = "" if states == n else f", each with {n // states} policy seeds; intervals take an initial state once"
    covered = len(suite.tasks)
    parts = [
        f"\n## {suite.title}: {facts['simulator']} {facts['simulator_version']}{_latency_title(entries)}\n\n",
        f"{covered} of {header.full_task_count} tasks, {n} test episodes each (seeds {seeds.start} to "
        f"{seeds.start + states - 1}{repeats}), "
        f"at most {facts['max_steps']} actions, {facts['success_rule'].replace('_', ' ')}. "
        f"Protocol `{header.protocol_hash}`, adapter version {facts['adapter_version']}.{_latency_text(header)}\n\n",
        success_table(entries, list(suite.tasks)),
    ]
    partial = [f"{entry.name} ({len(entry.rates)})" for entry in entries if entry.mean is None]
    if partial:
        parts.append(f"\nNo mean for policies that were not run on all {covered} tasks: {', '.join(partial)}.\n")
    privileged = [entry.name for entry in entries if entry.run.header.policy.privileged]
    if privileged:
        parts.append(f"\n† sees simulator state that a robot would not have: {', '.join(privileged)}.\n")
    if picture is not None:
        parts.append(f"\n### Success against latency\n\n![{_PICTURE_TEXT}]({picture.as_posix()})\n")
    parts += ["\n### By task, with intervals\n\n", interval_table(entries, list(suite.tasks))]
    parts += [
        "\n### Runs\n\nLatency is that of one policy call, end to end, batch 1, warm calls only; it holds for the "
        "hardware of its row and is not ranked.\n\n",
        run_table(entries),
    ]
    return "".join(parts) + paired_section(entries)


def _latency_title(entries: Sequence[Entry]) -> str:
    """What tells tables of one suite apart that were played with different latencies."""
    latency = entries[0].run.header.protocol.get("latency", {"source": "none"})
    if latency["source"] == "none":
        return ""
    if latency["source"] == "fixed":
        return f", {1000 * latency['seconds']:g} ms a call"
    medians = [percentiles(calls)["p50"] for entry in entries if (calls := played_ms(entry.run))]
    span = f" ({min(medians):.0f} to {max(medians):.0f} ms)" if medians else ""
    return f", with the policies' own latencies{span}"


def _latency_text(header: Header) -> str:
    """How the virtual clock was fed, for a table played with a latency."""
    latency = header.protocol.get("latency")
    if latency is None:
        return ""
    whose = "a call takes as long as the table's title says"
    if latency["source"] == "timing":
        whose = f"a call takes what it took in a latency run on {hardware_text(latency['hardware'])}"
    return f" The simulation goes on while a policy computes: {whose}, in ticks of {1 / latency['tick_hz']:g} s."


@dataclass(frozen=True)
class LeaderboardConfig:
    """Settings of the leaderboard.

    Attributes:
        check: Change nothing; exit with 1 if the page is not what the records say.
        records: Folder of the records.
        out: Folder of the page.
    """

    check: bool = False
    records: Path = RECORDS_DIR
    out: Path = Path(__file__).resolve().parents[1]


def main() -> int:
    """Command line; returns the exit code: 0, 1 (`--check` found a difference), 2 (input)."""
    config = tyro.cli(LeaderboardConfig, description=__doc__, prog="python -m results.leaderboard")
    try:
        made = {config.out / path: text.encode() for path, text in build(config.records).items()}
    except (InputError, RecordError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stale = sorted(set((config.out / PICTURES).glob("*.svg")) - made.keys())
    # Bytes on both sides: a checkout that changed line ends is a difference too.
    differing = [path for path, text in made.items() if not path.is_file() or path.read_bytes() != text]
    if config.check:
        for path in differing:
            _print_difference(path, made[path])
        for path in stale:
            print(f"{path} belongs to no table")
        if differing or stale:
            print(
                f"error: {config.out} is not what the records say. Run: python -m results.leaderboard", file=sys.stderr
            )
        return int(bool(differing or stale))
    for path in differing:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made[path])
    for path in stale:
        path.unlink()
    for path in made:
        print(f"{path}: {'rewritten' if path in differing else 'unchanged'}")
    return 0


def _print_difference(path: Path, made: bytes) -> None:
    found = path.read_bytes() if path.is_file() else b""
    before, after = found.decode(errors="replace").splitlines(), made.decode().splitlines()
    difference = list(difflib.unified_diff(before, after, str(path), "records", n=1, lineterm=""))
    print("\n".join(difference[:MAX_DIFF_LINES] or [f"{path}: only line ends differ"]))
    if len(difference) > MAX_DIFF_LINES:
        print(f"... and {len(difference) - MAX_DIFF_LINES} more lines")


if __name__ == "__main__":
    sys.exit(main())
