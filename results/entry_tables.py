"""The leaderboard's tables of one protocol: success by task, the same with intervals, and facts of the runs."""

from results.entries import Entry
from results.records import percentiles
from results.stats import Rate
from results.tables import NONE, hardware_text, markdown_table, percent
from results.wording import interval_text, short_sha, words


def success_table(entries: list[Entry], tasks: list[str]) -> str:
    """A row a policy: its mean, and its rate of each task."""
    rows = []
    for entry in entries:
        mean = [f"**{_bracketed(entry.mean, 1)}**", str(entry.mean.n)] if entry.mean else [NONE, NONE]
        rates = [entry.rates.get(task) for task in tasks]
        cells = [f"{percent(rate.value)} ({rate.successes}/{rate.n})" if rate else NONE for rate in rates]
        rows.append([_label(entry), *mean, *cells])
    return markdown_table(["policy", "mean [95 %]", "n", *map(words, tasks)], rows)


def interval_table(entries: list[Entry], tasks: list[str]) -> str:
    """A row a task: the rate of each policy with its interval."""
    rows = []
    for task in tasks:
        rates = [entry.rates.get(task) for entry in entries]
        rows.append([words(task), *(_bracketed(rate) if rate else NONE for rate in rates)])
    return markdown_table(["task", *map(_label, entries)], rows)


def run_table(entries: list[Entry]) -> str:
    """A row a policy: where its run comes from, how its episodes ended, how long its calls took."""
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
                hardware_text(run.header.hardware),
                ", ".join(dict.fromkeys(f"`{short_sha(sha)}`" if sha else NONE for sha in commits)),
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


def _label(entry: Entry) -> str:
    return f"{entry.name} †" if entry.run.header.policy.privileged else entry.name


def _bracketed(rate: Rate, digits: int = 0) -> str:
    return f"{percent(rate.value, digits)} {interval_text(rate, digits)}"
