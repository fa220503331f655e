"""`python -m results.report`: what is on the page, what is refused. Without a browser; see test_report_browser.py."""

import base64
import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_leaderboard import FACTS, HEADER

from envs.spec import InputError
from results import report
from results.page.shown import load_page, plain_reason
from results.record_writer import RecordWriter
from results.records import RECORDS_DIR, EpisodeRecord, Latency, read_run

MARKS = {"1": "success", "0": "failure", "e": "error"}
WINS = {"open_drawer": "11110", "turn_tap": "11e00"}
VOID = {"meta", "input", "wbr", "br", "link", "img"}


def write(path, wins=WINS, drop=0, name="drifting", facts=None, video=None, failure="out of steps", **header):
    """A record: `wins` is one string a task; `drop` episodes were not played; call k took 10 + k and 20 + k ms."""
    episodes = []
    for task, marks in wins.items():
        for k, mark in enumerate(marks):
            numbers = {
                "steps": 3 + k,
                "failure": failure if mark == "0" else None,
                "error": "the simulator broke at 3.25 s" if mark == "e" else None,
                "planner_failures": int(mark == "0"),
                "latency": Latency.of_calls([0.9, 0.010 + k / 1000, 0.020 + k / 1000], [{}, {}, {}]),
                "video": video,
            }
            episodes.append(EpisodeRecord(f"{task}/v001/s{200 + k}", task, 1, 200 + k, 1, MARKS[mark], **numbers))
    policy = replace(HEADER.policy, name=name, **(facts or {}))
    planned = tuple(episode.id for episode in episodes)
    path.parent.mkdir(parents=True, exist_ok=True)
    with RecordWriter(path, replace(HEADER, policy=policy, planned=planned, **header)) as writer:
        for episode in episodes[: len(episodes) - drop]:
            writer.append(episode)
    return path


class Document(HTMLParser):
    """A page as lists: elements, text of table cells, visible text, the script's data."""

    def __init__(self, markup):
        super().__init__()
        self.open, self.elements, self.problems, self.tables, self.text = [], [], [], {}, ""
        self.data, self._cell, self._caption = "", None, ""
        self.feed(markup)
        self.close()
        if self.open:
            self.problems.append(f"not closed: {self.open}")

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "caption":
            self._caption = ""
        if tag == "tr" and "noscript" not in self.open:
            self.tables.setdefault(self._caption, []).append([])
        if tag in ("td", "th"):
            self._cell = ""

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> where {self.open[-3:]} are open")
        if tag in ("td", "th") and "noscript" not in self.open:
            self.tables[self._caption][-1].append(" ".join(self._cell.split()))

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            if dict(self.elements[-1][1]).get("id") == "episode-data":
                self.data += data
            return
        self.text += data
        if "caption" in self.open:
            self._caption += data
        if self._cell is not None:
            self._cell += data

    def rows(self, caption):
        """Rows of the table whose caption begins so, as column title -> cell."""
        (found,) = [rows for title, rows in self.tables.items() if title.startswith(caption)]
        return [dict(zip(found[0], row, strict=True)) for row in found[1:]]

    def row(self, caption, label):
        (found,) = [row for row in self.rows(caption) if next(iter(row.values())) == label]
        return found

    @property
    def episodes(self):
        data = json.loads(self.data)
        return data, [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]]


def page_of(tmp_path, *arguments):
    out = tmp_path / "page" / "out.html"
    assert report.main([*map(str, arguments), "--out", str(out)]) == 0
    return Document(out.read_text())


@pytest.fixture
def two(tmp_path):
    first = write(tmp_path / "drifting.jsonl")
    return first, write(tmp_path / "flow.jsonl", {"open_drawer": "11000", "turn_tap": "11100"}, name="flow")


# What is on the page


def test_the_page_is_well_formed_and_needs_nothing_else(tmp_path, two):
    page = page_of(tmp_path, *two)
    assert not page.problems
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) and {"summary", "tasks", "pareto", "paired", "latency", "episodes"} <= set(ids)
    links = [value for _, attributes in page.elements for key, value in attributes.items() if key in ("href", "src")]
    assert links and all(link.startswith("#") and link[1:] in ids for link in links)
    markup = (tmp_path / "page" / "out.html").read_text()
    assert not re.search(r"https?://|@import|url\(", markup)
    for tag, attributes in page.elements:
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
        if tag in ("select", "input"):
            assert any(kind == "label" and said.get("for") == attributes["id"] for kind, said in page.elements)
    tags = Counter(tag for tag, _ in page.elements)
    assert tags["table"] == tags["caption"] and tags["h1"] == 1


def test_numbers_are_those_of_the_record(tmp_path, two):
    page = page_of(tmp_path, *two)
    row = page.row("Success rate", "drifting")
    assert row["success, % [95 %]"] == "60.0 [31.3, 83.2]"  # 6 of 10, Wilson
    assert (row["episodes"], row["failures"], row["errors"]) == ("10", "3", "1")
    assert (row["p50 ms"], row["p95 ms"]) == ("17.0", "24.0")  # pooled warm calls, twice 10..14 and 20..24
    assert page.row("Success by task", "open drawer")["drifting"] == "80 [38, 96] 4/5"
    assert page.row("Success by task", "turn tap")["flow"] == "60 [23, 88] 3/5"
    (pair,) = page.rows("Episodes that both")
    counts = [pair[name] for name in ("n", "both", "only first", "only second", "neither")]
    assert counts == ["10", "4", "2", "1", "3"]
    assert pair["difference [95 %]"].startswith("+10.0 [") and (pair["p"], pair["Holm p"]) == ("1.0000", "1.0000")
    assert "withheld: only 90.0 % of the attempted episodes of drifting (9 of 10) were scored" in page.text
    reasons = {row["reason"]: row for row in page.rows("Episodes that did not")}
    assert reasons["out of steps"]["drifting"] == "3 of 10"
    assert reasons["error: the simulator broke at … s"]["flow"] == "0"
    assert reasons["all that did not succeed"]["flow"] == "5 of 10"
    assert reasons["of all episodes, those in which the planner found no path"]["drifting"] == "3 of 10"
    facts = {row[""]: row["drifting"] for row in page.rows("The runs")}
    assert facts["call p99, ms"] == "24.0" and facts["warm calls timed"] == "20"
    assert facts["parameters"] == "1,234,567" and facts["checkpoint, SHA-256"] == "c0ffee000000"


def test_the_list_holds_every_episode_of_the_records(tmp_path, two):
    data, rows = page_of(tmp_path, *two).episodes
    found = [(row["run"], row["id"], data["outcomes"][row["outcome"]], row["steps"], row["p50"]) for row in rows]
    assert found == [
        (k, episode.id, episode.outcome, episode.steps, episode.latency.total["p50"])
        for k, path in enumerate(two)
        for episode in read_run(path).episodes
    ]
    (error,) = [row for row in rows if data["outcomes"][row["outcome"]] == "error"]
    assert error["text"] == "the simulator broke at 3.25 s"
    assert data["reasons"][error["reason"]] == "error: the simulator broke at … s"


def test_without_script_the_counts_are_there(tmp_path, two):
    page_of(tmp_path, *two)
    markup = (tmp_path / "page" / "out.html").read_text()
    (inner,) = re.findall(r"<noscript>(.*?)</noscript>", markup, re.S)
    page = Document(inner)
    assert not page.problems and "The list needs JavaScript" in page.text
    assert list(page.row("Episodes by outcome", "drifting").values())[1:] == ["10", "6", "3", "1"]


def test_charts_draw_the_rates(tmp_path, two):
    page = page_of(tmp_path, *two)
    spoken = [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg" and "role" in attributes]
    (card,) = [text for text in spoken if "open drawer" in text]
    assert "drifting: 80.0 % [37.6, 96.4], 4 of 5; flow: 40.0 % [11.8, 76.9], 2 of 5" in card
    assert "Latency of flow, 20 calls: p50 17.0 ms, p95 24.0 ms, p99 24.0 ms" in spoken
    bars = [
        round(float(attributes["width"]) / 318, 3)
        for tag, attributes in page.elements
        if tag == "rect" and attributes["class"].endswith(" bar") and attributes.get("height") == "9"
    ]
    assert bars == [0.6, 0.5, 0.8, 0.4, 0.4, 0.6]  # all tasks, open drawer, turn tap: drifting and flow each


def test_the_same_records_give_the_same_bytes(tmp_path, two):
    outs = [tmp_path / name / "page.html" for name in ("a", "b")]
    for out, salt in zip(outs, ("1", "2"), strict=True):
        command = [sys.executable, "-m", "results.report", *map(str, two), "--out", str(out)]
        root = Path(report.__file__).parents[1]
        subprocess.run(command, check=True, cwd=root, env={"PYTHONHASHSEED": salt}, stdout=subprocess.DEVNULL)
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_neither_torch_nor_a_simulator_is_imported():
    code = "import sys, results.report; print([m for m in ('torch', 'mujoco', 'matplotlib') if m in sys.modules])"
    root = Path(report.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True).stdout == "[]\n"


def test_the_committed_records_make_a_page_that_agrees_with_the_leaderboard(tmp_path):
    names = ["rlbench18/drifting", "rlbench18/expert"]
    page = page_of(tmp_path, *names)
    assert not page.problems
    table = (RECORDS_DIR.parents[1] / "leaderboard.md").read_text()
    for label in ("drifting", "expert †"):
        assert f"| {label} | **{page.row('Success rate', label)['success, % [95 %]']}** |" in table
    assert len(page.episodes[1]) == 2 * 450
    assert "results/records/rlbench18/drifting/test.jsonl" in page.text


# Records that are not as simple


def test_hostile_text_stays_text(tmp_path):
    attack = '</script><img src=x onerror="alert(1)">'
    page = page_of(tmp_path, write(tmp_path / "a.jsonl", name="<script>alert(1)</script>", failure=attack))
    assert not page.problems
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert page.rows("Success rate")[0]["policy"] == "<script>alert(1)</script>"
    assert page.episodes[0]["reasons"][0] == attack.replace("1", "…")
    assert page.episodes[1][4]["text"] == attack


def test_two_runs_of_one_policy_are_told_apart(tmp_path):
    a, b = write(tmp_path / "x" / "early.jsonl"), write(tmp_path / "x" / "late.jsonl")
    assert [shown.label for shown in load_page([str(a), str(b)]).runs] == ["drifting · early", "drifting · late"]
    c = write(tmp_path / "y" / "late.jsonl")
    labels = [shown.label for shown in load_page([str(b), str(c)]).runs]
    assert labels == ["drifting · late · x", "drifting · late · y"]


def test_a_folder_stands_for_every_record_below_it(tmp_path, two):
    assert [shown.label for shown in load_page([str(tmp_path)]).runs] == ["drifting", "flow"]


def test_other_episodes_are_not_compared(tmp_path, two):
    other = write(tmp_path / "z.jsonl", {"open_drawer": "111"}, name="mine")
    page = page_of(tmp_path, *two, other)
    assert "These runs do not hold the same episodes" in page.text
    assert "Not compared with drifting: mine." in page.text
    assert "Not shown, since not run on the same episodes: mine" in page.text
    assert len(page.rows("Episodes that both")) == 1
    assert page.row("Success by task", "turn tap")["mine"] == "–"


def test_references_do_not_make_the_others_p_values_larger(tmp_path, two):
    write(
        tmp_path / "zero.jsonl", {"open_drawer": "00000", "turn_tap": "00000"}, name="zero", facts={"objective": None}
    )
    page = page_of(tmp_path, tmp_path)
    assert [row["second"] for row in page.rows("Episodes that both")] == ["flow"]
    assert "Reference policies are left out: zero" in page.text
    assert len(page_of(tmp_path, two[0], tmp_path / "zero.jsonl").rows("Episodes that both")) == 1


def test_different_hardware_is_told(tmp_path, two):
    gpu = write(tmp_path / "z.jsonl", name="mine", hardware={"cpu": "C", "cores": 2, "device": "Some GPU"})
    page = page_of(tmp_path, *two, gpu)
    assert "timed on different hardware" in page.text
    assert "timed on Some GPU (C, 2 cores)" in page.text and "timed on Some | CPU, 2 cores" in page.text


def test_a_policy_that_was_never_timed_has_no_latency(tmp_path):
    path = write(tmp_path / "a.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines[1:]:
        line["latency"] = {"cold_ms": 5.0, "ms": [], "total": {}, "spans": {}}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = page_of(tmp_path, path)
    assert page.row("Success rate", "drifting")["p50 ms"] == "–"
    assert not {"latency", "pareto"} & {attributes.get("id") for _, attributes in page.elements}


def test_a_run_that_could_stop_early_is_whole(tmp_path):
    path = write(tmp_path / "a.jsonl", drop=4, config={"until": "drifting vs flow", "alpha": 0.05})
    assert "could be stopped by its results" in page_of(tmp_path, path).text


def test_reasons_are_grouped_without_their_numbers():
    def reason(text):
        return plain_reason(EpisodeRecord("a", "t", 0, 0, 0, "failure", failure=text))

    assert reason("the pose at (0.1, -2, 3) is out of the arm's reach") == "the pose at (…) is out of the arm's reach"
    assert reason("invalid action: 7 numbers, not 8") == "invalid action"
    assert reason(None) == "no reason recorded"
    assert plain_reason(EpisodeRecord("a", "t", 0, 0, 0, "success")) is None


def explain(path, ids, **changes):
    header = read_run(path).header
    facts = {"protocol_hash": header.protocol_hash, "policy": header.policy.name}
    facts["checkpoint_sha256"] = header.policy.checkpoint_sha256
    cases = [
        {"id": name, "finding": {"category": "wrong object", "detail": f"gripped another in {name}"}} for name in ids
    ]
    beside = path.with_name(f"{path.stem}_failures.json")
    beside.write_text(json.dumps(facts | {"cases": [*cases, {"id": "x", "finding": None}]} | changes))
    return beside


def test_diagnosed_failures_show_the_mistake(tmp_path):
    path = write(tmp_path / "a.jsonl")
    failed = [episode.id for episode in read_run(path).episodes if episode.outcome == "failure"]
    explain(path, failed[:-1])
    page = page_of(tmp_path, path)
    data, rows = page.episodes
    shown = {row["id"]: (data["reasons"][row["reason"]], row["text"]) for row in rows if row["id"] in failed}
    assert {shown[name][0] for name in failed[:-1]} == {"wrong object"} != {shown[failed[-1]][0]}
    assert all(f"gripped another in {name}" in shown[name][1] for name in failed[:-1])
    assert "envs.diagnose" in page.text


def test_explanations_of_another_run_are_refused(tmp_path):
    path = write(tmp_path / "a.jsonl")
    episodes = read_run(path).episodes
    failed = next(episode.id for episode in episodes if episode.outcome == "failure")
    won = next(episode.id for episode in episodes if episode.outcome == "success")
    for ids, changes in (([failed], {"policy": "other"}), ([won], {}), ([failed], {"cases": 3})):
        explain(path, ids, **changes)
        with pytest.raises(InputError, match=r"envs\.diagnose"):
            load_page([str(path)])
    path.with_name("a_failures.json").write_text("{")
    with pytest.raises(InputError, match=r"envs\.diagnose"):
        load_page([str(path)])


# Replay commands and videos


def test_replay_commands_are_ones_that_envs_replay_takes(tmp_path, monkeypatch):
    replay = pytest.importorskip("envs.replay")
    path = write(tmp_path / "with space" / "a.jsonl", suite="mock")
    data, rows = page_of(tmp_path, path).episodes
    command = shlex.split(f"{data['runs'][0]['replay']} {rows[3]['id']}")
    assert command[:3] == ["python", "-m", "envs.replay"]
    taken = []
    monkeypatch.setattr(replay, "replay", lambda config: taken.append(config) or 0)
    assert replay.main(command[3:]) == 0
    assert taken[0].record == path and taken[0].episodes == (rows[3]["id"],)


def test_what_cannot_be_replayed_has_no_command(tmp_path):
    path = write(tmp_path / "a.jsonl", protocol={"task_facts": FACTS, "latency": {"kind": "fixed"}})
    assert page_of(tmp_path, path).episodes[0]["runs"][0]["replay"] == ""
    own = write(tmp_path / "b.jsonl", suite="my_own_suite")
    assert "--suite my_own_suite.yaml" in page_of(tmp_path, own).episodes[0]["runs"][0]["replay"]


def test_videos_are_links_to_where_they_lie(tmp_path):
    path = write(tmp_path / "runs" / "a.jsonl", video="a_videos/one #1.mp4")
    assert "10 videos that the records name are not beside them" in page_of(tmp_path, path).text
    film = path.parent / "a_videos" / "one #1.mp4"
    film.parent.mkdir()
    film.write_bytes(b"film")
    page = page_of(tmp_path, path)
    assert {row["video"] for row in page.episodes[1]} == {"../runs/a_videos/one%20%231.mp4"}
    assert "not beside them" not in page.text


def test_small_videos_are_embedded_on_demand(tmp_path):
    path = write(tmp_path / "a.jsonl", {"turn_tap": "1"}, video="small.mp4")
    (tmp_path / "small.mp4").write_bytes(b"film")
    (row,) = page_of(tmp_path, path, "--embed-videos").episodes[1]
    assert base64.b64decode(row["video"].removeprefix("data:video/mp4;base64,")) == b"film"
    (tmp_path / "small.mp4").write_bytes(bytes(1_000_001))
    (row,) = page_of(tmp_path, path, "--embed-videos").episodes[1]
    assert row["video"] == "../small.mp4"


# Where the page goes, and what is refused


def test_the_page_lies_beside_the_record_but_not_among_the_committed_ones(tmp_path, two, capsys, monkeypatch):
    assert report.main([str(two[0])]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n" and (tmp_path / "report.html").is_file()
    monkeypatch.chdir(tmp_path)
    one, several = load_page(["rlbench18/zero"]), load_page(["rlbench18/zero", "rlbench18/expert"])
    assert report.default_out(one) == Path("runs/rlbench18/zero/report.html")
    assert report.default_out(several) == Path("runs/rlbench18/report.html")


def damaged(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[3][:40] + b"\n", *lines[4:]]))


def torn(path):
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda path: write(path, protocol_hash="b" * 12),
            r"run under different protocols \(tiny 0123456789ab, tiny bb",
        ),
        (lambda path: write(path, seed_block={"name": "validation"}), "test seeds, .*on validation seeds"),
        (lambda path: write(path, drop=3), "3 of 10 planned episodes are missing.*add --partial"),
        (lambda path: write(path, drop=10), "holds no finished episode"),
        (lambda path: damaged(write(path)), "line 4, is damaged"),
        (lambda path: torn(write(path)), "1 of 10 planned episodes are missing, as after an interruption or a torn"),
        (lambda path: path.write_text("{}\n"), "does not start with a record's header"),
        (lambda path: None, "there is no record"),
    ],
)
def test_records_that_do_not_belong_are_refused(tmp_path, capsys, change, message):
    first, second = write(tmp_path / "a.jsonl"), tmp_path / "b.jsonl"
    change(second)
    before = sorted(tmp_path.rglob("*"))
    assert report.main([str(first), str(second)]) == 2
    said = capsys.readouterr()
    assert re.search(message, said.err) and said.err.startswith("error: ") and not said.out
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name at least one record"),
        (["a.jsonl", "./a.jsonl"], "named twice"),
        (["a.jsonl", "--out", "a.jsonl"], "must end in .html"),
        (["a.jsonl", "--out", "a.jsonl/page.html"], "cannot be written"),
        (["empty"], r"no record \(\*.jsonl\) below the folder empty"),
    ],
)
def test_other_mistakes_are_refused(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jsonl")
    (tmp_path / "empty").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert report.main(arguments) == 2
    assert re.search(message, capsys.readouterr().err)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_partial_runs_are_shown_on_demand_and_marked(tmp_path):
    page = page_of(tmp_path, write(tmp_path / "a.jsonl", drop=3), "--partial")
    assert "drifting is incomplete: 3 of 10 planned episodes are missing." in page.text
    assert "all episodes are pooled" in page.text
    assert page.row("Success rate", "drifting")["success, % [95 %]"] == "85.7 [48.7, 97.4] *"  # 6 of 7
