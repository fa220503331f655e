"""Builds leaderboard.md from the committed records, and from nothing else.

    python -m results.leaderboard            rewrite leaderboard.md
    python -m results.leaderboard --check    exit with 1 if it is not what the records say

Rules: one table for each suite and protocol hash, never mixed. Only complete runs of the full protocol enter (all
planned episodes, test seeds, every episode of each of their tasks). Failures, planner failures and errors stay in n.
A policy that has not been run on every task of its table's suite has no mean. The page is a function of the records:
no dates, fixed order.
"""

import difflib
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tyro

from envs.spec import InputError
from envs.suite import Suite, load_suite
from results.paired import Paired, PairingError, holm, pair
from results.records import RECORDS_DIR, RecordError, Run, percentiles, read_run
from results.stats import Rate, task_mean
from results.tables import markdown_table, percent

REFERENCES = ("zero", "random", "expert")
BASELINE = "drifting"  # what every other trained policy is compared with
MAX_DIFF_LINES = 30
NONE = "–"

INTRODUCTION = """\
# Leaderboard

Made from the records in [`results/records`](results/records) by `python -m results.leaderboard`; not edited by hand.

Success rates in percent. Brackets hold 95 % Wilson intervals; that of a mean pools all its episodes. It tells how well
these episodes pin down the rate on these tasks, not how the policy would do on others or when trained again. Every
episode counts: an action that cannot be executed, a planner that finds no path and an error are failures. Each table
is one protocol; numbers of different tables must not be compared.
"""


@dataclass(frozen=True)
class Entry:
    """A complete run of one policy: a row of a table."""

    run: Run
    suite: Suite

    @property
    def name(self) -> str:
        """Policy name."""
        return self.run.header.policy.name

    @cached_property
    def rates(self) -> dict[str, Rate]:
        """Success rate by task, in the suite's order."""
        outcomes = defaultdict(list)
        for episode in self.run.episodes:
            outcomes[episode.task].append(episode.outcome == "success")
        return {task: Rate(sum(outcomes[task]), len(outcomes[task])) for task in self.suite.tasks if task in outcomes}

    @cached_property
    def mean(self) -> Rate | None:
        """Mean over the suite's tasks; None when one of them was not run."""
        return task_mean(self.rates.values()) if set(self.rates) == set(self.suite.tasks) else None

    @property
    def rank(self) -> tuple[Any, ...]:
        """Sort key: reference policies first, then by mean, those without one last."""
        if self.name in REFERENCES:
            return 0, REFERENCES.index(self.name), self.name
        return 1, -self.mean.value if self.mean else 1.0, self.name


def load_entries(records: Path) -> list[Entry]:
    """Reads every record below a folder.

    Raises:
        InputError: A record is not a complete run of the full protocol, or a second one of the same policy.
        RecordError: A file is damaged.
    """
    entries: list[Entry] = []
    seen: dict[tuple[str, str, str], Path] = {}
    for path in sorted(records.rglob("*.jsonl")):
        run = read_run(path)
        header = run.header
        suite = load_suite(header.suite)
        _check_complete(run, suite)
        key = header.suite, header.protocol_hash, header.policy.name
        if key in seen:
            raise InputError(
                f"{seen[key]} and {path} are two records of policy {header.policy.name!r} under protocol "
                f"{header.protocol_hash}. Keep one, or give the policies different names."
            )
        seen[key] = path
        entries.append(Entry(run, suite))
    return entries


def build(records: Path) -> str:
    """The whole page.

    Raises:
        InputError: See `load_entries`.
        RecordError: A file is damaged.
    """
    tables: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for entry in load_entries(records):
        header = entry.run.header
        tables[header.suite, header.sim, header.protocol_hash].append(entry)
    if not tables:
        return INTRODUCTION + "\nThere are no records yet.\n"
    return INTRODUCTION + "".join(_section(sorted(tables[key], key=lambda entry: entry.rank)) for key in sorted(tables))


def _check_complete(run: Run, suite: Suite) -> None:
    """Raises InputError for a run that is not a complete run of the full protocol."""
    remedy = "Only complete runs of the full protocol belong in the records; move it elsewhere"
    if run.missing:
        raise InputError(
            f"{run.path}: {len(run.missing)} of {len(run.header.planned)} episodes are missing. "
            f"{remedy}, or let the run go on."
        )
    if run.header.seed_block["name"] != "test":
        raise InputError(f"{run.path} was played on {run.header.seed_block['name']} seeds. {remedy}.")
    played = defaultdict(set)
    for episode in run.episodes:
        played[episode.task].add(episode.id)
    suite.check_tasks(played)
    for task, ids in played.items():
        full = {episode.id for episode in suite.episodes(task)}
        if ids != full:
            raise InputError(
                f"{run.path}: {len(ids & full)} of the {len(full)} test episodes of {task}, and {len(ids - full)} "
                f"others. {remedy}."
            )


def _section(entries: list[Entry]) -> str:
    suite, header = entries[0].suite, entries[0].run.header
    facts = header.protocol["task_facts"]
    first, n = suite.seeds["test"].start, suite.episodes_per_task
    covered = len(suite.tasks)
    parts = [
        f"\n## {suite.title}: {facts['simulator']} {facts['simulator_version']}\n\n",
        f"{covered} of {header.full_task_count} tasks, {n} test episodes each (seeds {first} to {first + n - 1}), "
        f"at most {facts['max_steps']} actions, {facts['success_rule'].replace('_', ' ')}. "
        f"Protocol `{header.protocol_hash}`, adapter version {facts['adapter_version']}.\n\n",
        _success_table(entries, list(suite.tasks)),
    ]
    partial = [f"{entry.name} ({len(entry.rates)})" for entry in entries if entry.mean is None]
    if partial:
        parts.append(f"\nNo mean for policies that were not run on all {covered} tasks: {', '.join(partial)}.\n")
    privileged = [entry.name for entry in entries if entry.run.header.policy.privileged]
    if privileged:
        parts.append(f"\n† sees simulator state that a robot would not have: {', '.join(privileged)}.\n")
    parts += ["\n### By task, with intervals\n\n", _interval_table(entries, list(suite.tasks))]
    parts += [
        "\n### Runs\n\nLatency is that of one policy call, end to end, batch 1, warm calls only; it holds for the "
        "hardware of its row and is not ranked.\n\n",
        _run_table(entries),
    ]
    return "".join(parts) + _paired_section(entries)


_PAIRED_TEXT = f"""\
Both policies start every episode from the same state, so they are compared episode by episode; errors are failures. The
difference is the success rate of {BASELINE} less that of the other policy, in percentage points. First bracket: 95 %
interval on these tasks (Newcombe's score interval for paired proportions). Second bracket: 95 % interval for tasks like
these, each task one observation (Student's). p: exact two-sided McNemar test, and after Holm's correction over this
table. A policy is called better where that is below 0.05; "on these tasks" is added where the second bracket holds 0.
Neither says how a policy would do when trained again.
"""


def _paired_section(entries: list[Entry]) -> str:
    """Every trained policy against `BASELINE`; empty without two trained policies, of which that is one."""
    trained = {entry.name: entry for entry in entries if entry.run.header.policy.objective is not None}
    baseline = trained.pop(BASELINE, None)
    if baseline is None or not trained:
        return ""
    comparisons: list[tuple[str, Paired]] = []
    left_out = []
    for name, entry in trained.items():
        try:
            comparisons.append((name, pair(baseline.run, entry.run)))
        except PairingError:
            left_out.append(name)
    adjusted = holm([paired.p_value for _, paired in comparisons])
    rows = []
    for (name, paired), p in zip(comparisons, adjusted, strict=True):
        counts = (paired.n, paired.both, paired.only_first, paired.only_second, paired.neither)
        carries = paired.task_interval()
        difference = f"{_points(paired.difference)} {_points_interval(paired.interval())}"
        rows.append(
            [
                name,
                *map(str, counts),
                difference,
                _points_interval(carries) if carries else NONE,
                _p_text(paired.p_value),
                _p_text(p),
                paired.verdict(BASELINE, name, p),
            ]
        )
    header = ["policy", "n", "both", f"only {BASELINE}", "only other", "neither", "difference [95 %]"]
    header += ["[95 %] over tasks", "McNemar p", "Holm p", "verdict"]
    text = f"\n### Paired comparisons\n\n{_PAIRED_TEXT}"
    if rows:
        text += "\n" + markdown_table(header, rows)
    if left_out:
        text += f"\nNot compared, since not run on the same episodes as {BASELINE}: {', '.join(left_out)}.\n"
    return text


def _points(value: float) -> str:
    """A difference of rates in percentage points, signed."""
    size = percent(abs(value), 1)
    return size if size == "0.0" else f"{'-' if value < 0 else '+'}{size}"


def _points_interval(interval: tuple[float, float]) -> str:
    return f"[{', '.join(map(_points, interval))}]"


def _p_text(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def _label(entry: Entry) -> str:
    return f"{entry.name} †" if entry.run.header.policy.privileged else entry.name


def _words(task: str) -> str:
    return task.replace("_", " ")  # lets narrow columns break the name


def _bracketed(rate: Rate, digits: int = 0) -> str:
    low, high = rate.interval()
    return f"{percent(rate.value, digits)} [{percent(low, digits)}, {percent(high, digits)}]"


def _success_table(entries: list[Entry], tasks: list[str]) -> str:
    rows = []
    for entry in entries:
        mean = [f"**{_bracketed(entry.mean, 1)}**", str(entry.mean.n)] if entry.mean else [NONE, NONE]
        rates = [entry.rates.get(task) for task in tasks]
        cells = [f"{percent(rate.value)} ({rate.successes}/{rate.n})" if rate else NONE for rate in rates]
        rows.append([_label(entry), *mean, *cells])
    return markdown_table(["policy", "mean [95 %]", "n", *map(_words, tasks)], rows)


def _interval_table(entries: list[Entry], tasks: list[str]) -> str:
    rows = []
    for task in tasks:
        rates = [entry.rates.get(task) for entry in entries]
        rows.append([_words(task), *(_bracketed(rate) if rate else NONE for rate in rates)])
    return markdown_table(["task", *map(_label, entries)], rows)


def _run_table(entries: list[Entry]) -> str:
    header = ["policy", "objective", "hardware", "commit", "checkpoint", "n", "failures", "planner failures", "errors"]
    header += ["parameters", "NFE", "p50 ms", "p95 ms", "policy seed"]
    rows = []
    for entry in entries:
        run, policy = entry.run, entry.run.header.policy
        calls = percentiles(ms for episode in run.episodes for ms in episode.latency.ms)
        outcomes = [episode.outcome for episode in run.episodes]
        commits = [run.header.git_sha, *(part.get("git_sha") for part in run.resumed)]
        rows.append(
            [
                _label(entry),
                policy.objective or NONE,
                _hardware(run.header.hardware),
                ", ".join(dict.fromkeys(f"`{_short(sha)}`" if sha else NONE for sha in commits)),
                f"`{policy.checkpoint_sha256[:12]}`" if policy.checkpoint_sha256 else NONE,
                str(len(outcomes)),
                str(outcomes.count("failure")),
                str(sum(episode.planner_failures > 0 for episode in run.episodes)),
                str(outcomes.count("error")),
                f"{policy.parameters:,}" if policy.parameters else NONE,
                str(policy.nfe) if policy.nfe else NONE,
                f"{calls['p50']:.1f}" if calls else NONE,
                f"{calls['p95']:.1f}" if calls else NONE,
                str(run.header.policy_seed),
            ]
        )
    return markdown_table(header, rows, left=5)


def _hardware(hardware: dict[str, Any]) -> str:
    device = hardware.get("device", "cpu")
    cpu = f"{hardware.get('cpu', 'unknown CPU')}, {hardware.get('cores', '?')} cores"
    return cpu if device == "cpu" else f"{device} ({cpu})"


def _short(sha: str) -> str:
    commit, _, dirty = sha.partition("-")
    return commit[:10] + (f"-{dirty}" if dirty else "")


@dataclass(frozen=True)
class LeaderboardConfig:
    """Settings of the leaderboard.

    Attributes:
        check: Change nothing; exit with 1 if the page is not what the records say.
        records: Folder of the records.
        out: The page.
    """

    check: bool = False
    records: Path = RECORDS_DIR
    out: Path = Path(__file__).resolve().parents[1] / "leaderboard.md"


def main() -> int:
    """Command line; returns the exit code: 0, 1 (`--check` found a difference), 2 (input)."""
    config = tyro.cli(LeaderboardConfig, description=__doc__)
    try:
        page = build(config.records)
    except (InputError, RecordError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # Bytes on both sides: a checkout that changed line ends is a difference too.
    found = config.out.read_bytes() if config.out.is_file() else b""
    if not config.check:
        config.out.write_bytes(page.encode())
        print(f"{config.out}: {'unchanged' if found == page.encode() else 'rewritten'}")
        return 0
    if found == page.encode():
        return 0
    before = found.decode(errors="replace").splitlines()
    difference = list(difflib.unified_diff(before, page.splitlines(), str(config.out), "records", n=1, lineterm=""))
    print("\n".join(difference[:MAX_DIFF_LINES] or ["only line ends differ"]))
    if len(difference) > MAX_DIFF_LINES:
        print(f"... and {len(difference) - MAX_DIFF_LINES} more lines")
    print(f"error: {config.out} is not what the records say. Run: python -m results.leaderboard", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
