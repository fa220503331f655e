import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envs.run import main
from envs.suite import load_suite
from results.records import read_run, without_times

ROOT = Path(__file__).parents[2]


def start(*arguments):
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "envs.run", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_lines(path, count, process):
    """Waits until the record holds some lines."""
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)


def children(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_run_prints_its_facts_and_a_table(tmp_path, capsys):
    out = tmp_path / "a.jsonl"
    arguments = ["--suite", "mock", "--policy", "expert", "--tasks", "pick", "--quick", "--video", "--out", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    run = read_run(out)
    for fact in ("1 of 2 tasks", run.header.protocol_hash, "policy expert", "3 episodes", "1 worker", str(out)):
        assert fact in printed
    assert "100.0 % [43.9, 100.0]" in printed
    assert run.header.config["tasks"] == ["pick"] and run.header.config["episodes"] == 3
    assert run.header.policy.privileged and run.header.packages["numpy"]
    for episode in run.episodes:
        assert episode.outcome == "success" and (tmp_path / episode.video).stat().st_size > 0
    assert main(arguments) == 2  # never overwritten
    assert "--resume" in capsys.readouterr().err


BASE = ["--suite", "mock", "--policy", "zero"]
BAD = {
    "--suite mok": "Did you mean 'mock'",
    "--policy zeroo": "Did you mean 'zero'",
    "--policy ws://localhost:9": "not available yet",
    "--tasks reech": "Did you mean 'reach'",
    "--tasks reach reach": "twice",
    "--sim mujoco": "Choose one of: mock",
    "--quick --episodes 4": "leave one out",
    "--episodes 0": "--episodes must lie between",
    "--workers 0": "--workers must be at least 1",
    "--resume --out None": "add --out",
    "--out a.json": ".jsonl",
    "--policy zero --checkpoint weights": "takes no checkpoint",
    "--policy drifting": "no weights of drifting for suite mock",
}


@pytest.mark.parametrize("bad", list(BAD))
def test_bad_input_is_told_and_nothing_is_written(tmp_path, monkeypatch, capsys, bad):
    monkeypatch.chdir(tmp_path)
    assert main([*BASE, *bad.split()]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and BAD[bad] in printed.err
    assert printed.out == "" and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", ["--seeds exam", "--workers two", "--no-such-flag"])
def test_unreadable_arguments_end_with_code_2(bad, capsys):
    with pytest.raises(SystemExit) as end:
        main([*BASE, *bad.split()])
    assert end.value.code == 2


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, mock_yaml, capsys):
    suite = mock_yaml(options={"step_s": 0.02})
    out = tmp_path / "a.jsonl"
    arguments = ["--suite", suite, "--policy", "random", "--episodes", 5, "--out", out]

    killed = start(*arguments)
    wait_for_lines(out, 3, killed)
    workers = children(killed.pid)
    killed.kill()
    killed.communicate()
    deadline = time.monotonic() + 10
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline, "a worker outlives the run"
        time.sleep(0.05)
    with out.open("ab") as file:
        file.write(b'{"kind":"episode","id":"pick/v0')  # torn
    finished = len(read_run(out).episodes)

    interrupted = start(*arguments, "--resume")
    wait_for_lines(out, 1 + finished + 2, interrupted)
    interrupted.send_signal(signal.SIGINT)
    _, errors = interrupted.communicate(timeout=30)
    assert interrupted.returncode == 130, errors
    assert "python -m envs.run" in errors and "--resume" in errors
    assert finished < len(read_run(out).episodes) < 10

    assert main([*map(str, arguments), "--resume"]) == 0
    assert "of 10 episodes are done" in capsys.readouterr().out
    run = read_run(out)
    lines = out.read_text().splitlines()
    assert len(run.episodes) == 10 and len(run.resumed) == 2 and len(lines) == 1 + 10 + 2

    fresh = tmp_path / "fresh.jsonl"
    assert main([*map(str, arguments[:-1]), str(fresh), "--workers", "2"]) == 0
    assert list(map(without_times, run.episodes)) == list(map(without_times, read_run(fresh).episodes))


def test_an_interrupt_before_the_first_result_leaves_nothing(tmp_path, mock_yaml):
    episode = load_suite("mock").episodes("reach")[0].id
    suite = mock_yaml(options={"faults": {"hang": [episode]}})
    out = tmp_path / "a.jsonl"
    hung = start("--suite", suite, "--policy", "zero", "--out", out)
    assert "protocol" in hung.stdout.readline()
    time.sleep(0.5)
    os.kill(hung.pid, signal.SIGTERM)
    while "once more" not in hung.stderr.readline():
        pass
    os.kill(hung.pid, signal.SIGINT)
    _, errors = hung.communicate(timeout=30)
    assert hung.returncode == 130 and "nothing was written" in errors
    assert not out.exists()


def test_a_worker_that_dies_at_its_start_is_one_line(tmp_path, capfd, monkeypatch):
    (tmp_path / "dying_policy.py").write_text("import os\n\n\ndef Dying():\n    os._exit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    out = tmp_path / "run.jsonl"
    assert main(["--suite", "mock", "--policy", "dying_policy:Dying", "--out", str(out)]) == 1
    told = capfd.readouterr().err
    assert told.startswith("error: the worker died") and "Traceback" not in told and not out.exists()
