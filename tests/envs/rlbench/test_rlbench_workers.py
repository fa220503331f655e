import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mujoco")

import envs.run
from results.records import read_run, without_times

pytestmark = pytest.mark.sim

TASKS = ("push_buttons", "put_item_in_drawer")


def evaluate(out: Path, *flags: str) -> list[dict]:
    arguments = ["--suite", "rlbench18", "--tasks", *TASKS, "--episodes", "2", "--seeds", "validation"]
    assert envs.run.main([*arguments, "--out", str(out), *flags]) == 0
    return [without_times(record) for record in read_run(out).episodes]


@pytest.mark.parametrize("policy", ["expert", "drifting"])
def test_the_number_of_workers_changes_nothing_but_times(tmp_path, policy):
    one = evaluate(tmp_path / "one.jsonl", "--policy", policy)
    two = evaluate(tmp_path / "two.jsonl", "--policy", policy, "--workers", "2")
    assert len(one) == 4 and one == two
    if policy == "expert":
        assert {record["outcome"] for record in one} == {"success"}


def test_a_resumed_run_is_the_same_run(tmp_path):
    whole = evaluate(tmp_path / "whole.jsonl", "--policy", "expert")
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    cut.write_text("".join(lines[:3]) + lines[3][:40])  # header, two episodes, and one that was being written
    assert evaluate(cut, "--policy", "expert", "--resume") == whole


def test_without_off_screen_rendering_nothing_is_written(tmp_path):
    out = tmp_path / "run.jsonl"
    command = [sys.executable, "-m", "envs.run", "--suite", "rlbench18", "--policy", "zero", "--out", str(out)]
    environment = os.environ | {"MUJOCO_GL": "no_such_library"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and not out.exists()
    assert done.stderr.startswith("error: ") and "libegl1" in done.stderr and "Traceback" not in done.stderr
