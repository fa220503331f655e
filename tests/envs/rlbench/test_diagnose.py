"""The command: a record's failures become a table, a file, Markdown and videos."""

import json

import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs import diagnose, run
from policies.expert import ExpertPolicy
from results.records import read_run

pytestmark = pytest.mark.sim
POLICY = "tests.envs.rlbench.test_diagnose:TooFarLeft"


class TooFarLeft(ExpertPolicy):
    """The expert, but 8 cm off where it closes the gripper."""

    def act(self, obs):
        chunk = super().act(obs)
        if chunk.actions[0, 7] < 0.5:
            chunk.actions[0, 1] += 0.08
        return chunk


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """Three failures, of two tasks."""
    out = tmp_path_factory.mktemp("run") / "left.jsonl"
    arguments = ["--suite", "rlbench18", "--policy", POLICY, "--seeds", "validation", "--out", str(out)]
    assert run.main([*arguments, "--tasks", "close_jar", "open_drawer", "--episodes", "2"]) == 0
    assert {episode.outcome for episode in read_run(out).episodes} == {"failure"}
    return out


def change_header(record, path, **changes):
    header, *episodes = record.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(header) | changes), *episodes]) + "\n")
    return str(path)


def test_table_file_markdown_and_videos(record, tmp_path, capsys):
    out, page = tmp_path / "why.json", tmp_path / "docs" / "failures.md"
    flags = ["--tasks", "open_drawer", "--out", str(out), "--markdown", str(page), "--videos", "1"]
    assert diagnose.main([str(record), *flags]) == 0
    assert "| open drawer | 2/2 | 2/2 | 2 (100 %) |" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert found["complete"] and found["tasks"] == {"open_drawer": {"episodes": 2, "failures": 2, "errors": 0}}
    for case in found["cases"]:
        assert case["finding"]["category"] == "position error"
        assert case["finding"]["position_cm"] == pytest.approx(8, abs=0.1)
        assert case["finding"]["verified"]
    video = tmp_path / found["cases"][0]["video"]
    assert video.name.endswith("_position_error.mp4") and video.stat().st_size > 1000
    assert found["cases"][1]["video"] is None
    assert "| open drawer | 2/2 | 2/2 | 2 (100 %) |" in page.read_text()


def test_workers_change_nothing_and_the_policy_itself_can_be_asked(record, tmp_path, capsys, monkeypatch):
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(run.Path(run.__file__).resolve().parents[1]))
    assert diagnose.main([str(record), "--out", str(one), "--workers", "2"]) == 0
    assert diagnose.main([str(record), "--out", str(two), "--rerun"]) == 0
    assert "differs" not in capsys.readouterr().out
    assert one.read_bytes() == two.read_bytes()
    assert len(json.loads(one.read_text())["cases"]) == 4


def test_an_episode_that_ends_otherwise_is_not_explained(record, tmp_path, capsys):
    header, first, *rest = record.read_text().splitlines()
    episode = json.loads(first)
    episode["planner_failures"] = 1 - episode["planner_failures"]
    other = tmp_path / "other.jsonl"
    other.write_text("\n".join([header, json.dumps(episode), *rest]) + "\n")
    assert diagnose.main([str(other), "--episodes", episode["id"]]) == 1
    assert f"1 did not end as recorded and are not explained: {episode['id']}" in capsys.readouterr().out
    (case,) = json.loads((tmp_path / "other_failures.json").read_text())["cases"]
    assert case["finding"] is None


def test_bad_input(record, tmp_path, capsys):
    expert, mock = tmp_path / "expert.jsonl", tmp_path / "mock.jsonl"
    assert run.main(["--suite", "mock", "--policy", "expert", "--episodes", "1", "--out", str(expert)]) == 0
    assert run.main(["--suite", "mock", "--policy", "zero", "--episodes", "1", "--out", str(mock)]) == 0
    header = json.loads(record.read_text().splitlines()[0])
    stored = change_header(record, tmp_path / "stored.jsonl", config=header["config"] | {"demos": "/data/test"})
    cases = [
        ([str(tmp_path / "none.jsonl")], "there is no record"),
        ([str(record), "--tasks", "close_jars"], "Did you mean 'close_jar'"),
        ([str(record), "--out", "x.jsonl"], "must end in .json"),
        ([str(record), "--workers", "0"], "--workers must be at least 1"),
        ([str(record), "--checkpoint", "x"], "is for --rerun"),
        ([str(expert)], "no failed episode"),
        ([str(mock)], "suite 'mock' on 'mock' has no expert keyframes"),
        ([stored], "stored demonstrations"),
        ([change_header(record, tmp_path / "old.jsonl", protocol_hash="f" * 12)], "under protocol ffffffffffff"),
    ]
    for arguments, message in cases:
        assert diagnose.main(arguments) == 2, arguments
        assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.json"))
