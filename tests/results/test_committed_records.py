"""What is written by hand in README and model card against the committed records and weights."""

import hashlib
import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from results.entries import load_entries
from results.latency import ratio, read_latency
from results.latency_tables import latency_table, ratio_table
from results.records import RECORDS_DIR, percentiles, read_run

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "policies/checkpoints"
ENTRIES = {entry.name: entry for entry in load_entries(RECORDS_DIR) if entry.suite.name == "rlbench18"}
ROWS = {
    "drifting": r"drifting \|",
    "flow": r"flow \|",
    "flow-1": "flow, one step",
    "diffusion": r"diffusion \(DDPM\)",
    "diffusion-10": r"diffusion \(DDIM\)",
    "mse": "mse",
    "cimle": "cimle",
    "hybrid_queue": "hybrid_queue",
    "nearest": "nearest",
    "expert": "scripted expert",
    "random": "random",
    "zero": "zero",
}


@pytest.mark.parametrize("policy", ENTRIES)
def test_readme_shows_the_recorded_results(policy):
    entry, results = ENTRIES[policy], (ROOT / "README.md").read_text().partition("### What lower latency buys")[0]
    (line,) = re.findall(rf"^\| {ROWS[policy]}.*$", results, re.M)
    low, high = entry.mean.interval()
    failed = sum(episode.planner_failures > 0 for episode in entry.run.episodes)
    assert f"| {100 * entry.mean.value:.1f} [{100 * low:.1f}, {100 * high:.1f}] | {failed} of {entry.mean.n} |" in line
    if entry.run.header.policy.objective is not None:
        calls = percentiles(ms for episode in entry.run.episodes for ms in episode.latency.ms)
        assert f"| {calls['p50']:.1f} / {calls['p95']:.1f} |" in line


@pytest.mark.parametrize("objective", ["drifting", "diffusion", "flow"])
def test_the_recorded_policies_are_those_that_ship(objective):
    check_weights(WEIGHTS / f"rlbench18_{objective}.safetensors", ENTRIES[objective], WEIGHTS / "README.md")


@pytest.mark.parametrize("group", ["dynamic", "dynamic_small", "dynamic_base"])
def test_the_recorded_policy_of_dynamic_is_the_one_that_ships(group):
    (entry,) = [entry for entry in load_entries(RECORDS_DIR / group) if entry.name == "drifting"]
    check_weights(WEIGHTS / "dynamic_drifting.safetensors", entry, WEIGHTS / "dynamic.md")


def test_the_recorded_policy_of_maniskill_is_the_one_that_ships():
    (entry,) = [entry for entry in load_entries(RECORDS_DIR / "maniskill5_eef") if entry.name == "drifting"]
    check_weights(WEIGHTS / "maniskill5_eef_drifting.safetensors", entry, WEIGHTS / "maniskill5_eef.md")


def check_weights(weights, entry, card):
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert entry.run.header.policy.checkpoint_sha256 == digest
    assert f"`{digest}`" in card.read_text()
    assert weights.stat().st_size <= 18_000_000


def test_the_objectives_were_trained_and_played_alike():
    trained = [entry.run.header for entry in ENTRIES.values() if entry.run.header.policy.objective is not None]
    assert len(trained) == 8 and len({header.protocol_hash for header in trained}) == 1
    parameters = [header.policy.parameters for header in trained]
    assert max(parameters) <= 1.02 * min(parameters)


def test_the_page_of_latencies_is_what_the_records_say():
    page, readme = (ROOT / "docs/latency.md").read_text(), " ".join((ROOT / "README.md").read_text().split())
    small = [read_latency(path) for path in sorted((ROOT / "results/timing").glob("rlbench18_small_cpu_*.json"))]
    large = [read_latency(path) for path in sorted((ROOT / "results/timing").glob("base_*.json"))]
    assert len(small) == 3 and latency_table(small[0]) in page and ratio_table(small) in page
    assert large and all(latency_table(record) in page for record in large)
    for records in (small, large[:1]):
        assert all(record.policies[0].name == "drifting" for record in records)
        for name, digits, least in (("flow", 1, 9.5), ("diffusion-10", 1, 9.5), ("diffusion", 0, 95)):
            found = sorted(head_ratio(record, name) for record in records)
            assert found[0] >= least
            ends = dict.fromkeys(f"{value:.{digits}f}" for value in (found[0], found[-1]))
            assert " to ".join(ends) in readme


DYNAMIC = ("dynamic", "dynamic_small", "dynamic_base")
DYNAMIC_ROWS = {
    "drifting": "drifting",
    "mse": "regression (mse)",
    "flow-1": "flow, one step",
    "flow": "flow",
    "diffusion-10": "diffusion (DDIM)",
    "diffusion": "diffusion (DDPM)",
}


def test_the_page_of_the_dynamic_suite_shows_the_recorded_results():
    page = (ROOT / "docs/dynamic.md").read_text()
    groups = [{entry.name: entry for entry in load_entries(RECORDS_DIR / name)} for name in DYNAMIC]
    for group in groups:
        assert len({entry.run.header.protocol_hash for entry in group.values()}) == 1 and "drifting" in group
    for name, label in DYNAMIC_ROWS.items():
        found = [group.get(name) for group in groups]
        cells = " | ".join("–" if entry is None else rate_cell(entry.mean) for entry in found)
        assert re.search(rf"^\| {re.escape(label)} \| \d+ \| {re.escape(cells)} \|$", page, re.M), name
        solved = [
            " / ".join("–" if entry is None else str(entry.rates[task].successes) for entry in found)
            for task in groups[0]["drifting"].suite.tasks
        ]
        assert f"| {label} | {' | '.join(solved)} |" in page, name
    for name in ("expert", "chase", "nearest", "random", "zero"):
        assert re.search(rf"^\| {name} \| [^|]+ \| {re.escape(rate_cell(groups[0][name].mean))} \|$", page, re.M), name


def rate_cell(rate):
    """A rate with its interval in whole per cents."""
    low, high = rate.interval()
    return f"{100 * rate.value:.0f} [{100 * low:.0f}, {100 * high:.0f}]"


def head_ratio(record, name):
    """The head's median as a multiple of drifting's."""
    policies = {policy.name: policy.times for policy in record.policies}
    return ratio(policies[name], policies["drifting"])[0]


def test_every_expert_is_accepted():
    run = read_run(ROOT / "results/acceptance/rlbench18_expert_validation.jsonl")
    assert run.header.policy.name == "expert" and run.header.seed_block["name"] == "validation" and not run.missing
    assert run.header.protocol_hash == ENTRIES["expert"].run.header.protocol_hash
    solved = Counter(episode.task for episode in run.episodes if episode.outcome == "success")
    played = Counter(episode.task for episode in run.episodes)
    table = (ROOT / "docs/rlbench18.md").read_text()
    for task in ENTRIES["expert"].suite.tasks:
        assert played[task] == 100 and solved[task] >= 98, task
        steps = {episode.steps for episode in run.episodes if episode.task == task}
        actions = f"{min(steps)} to {max(steps)}" if len(steps) > 1 else str(min(steps))
        assert f"| {task} | {solved[task]} / 100 | {actions} |" in table
        assert ENTRIES["zero"].rates[task].successes == 0
    total = f"{solved.total():,} of {played.total():,} solved"
    assert total in " ".join((ROOT / "README.md").read_text().split())
    assert ENTRIES["random"].mean.value <= 0.02


def test_readme_shows_the_gates_results():
    by_sampler = defaultdict(list)
    for entry in json.loads((ROOT / "results/toy/gate.json").read_text())["entries"]:
        by_sampler[entry["objective"], entry["sampler"], entry["nfe"]].append(entry)
    readme = (ROOT / "README.md").read_text()
    for (objective, sampler, nfe), seeds in by_sampler.items():
        valid = [100 * entry["valid"] for entry in seeds]
        both = min(100 * entry["both_modes"] for entry in seeds)
        row = f"| {objective} ({sampler}) | {nfe} | {sum(valid) / len(valid):.1f} | {min(valid):.1f} | {both:.1f} |"
        assert len(seeds) == 3 and row in readme
        if objective == "drifting":
            assert min(valid) >= 85 and both >= 95
