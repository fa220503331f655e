from collections import Counter

import pytest

from envs import gallery, pool, replay
from envs.run import main
from results.records import read_run, without_times
from train import demo_episodes
from train.demos import _features

TASKS = ("turn_tap", "open_drawer", "close_jar")


@pytest.fixture
def evaluate(tmp_path):
    def run(name, *flags, tasks=TASKS):
        out = tmp_path / f"{name}.jsonl"
        arguments = ["--suite", "rlbench18", "--sim", "coppeliasim", "--out", str(out)]
        code = main([*arguments, *(["--tasks", *tasks] if tasks else []), *flags])
        return code, out

    return run


@pytest.mark.parametrize("policy", ["zero", "random", "expert"])
def test_an_evaluation(flavour, evaluate, happened, policy):
    code, out = evaluate("run", "--policy", policy, "--episodes", "2")
    assert code == 0
    run = read_run(out)
    assert run.header.sim == "coppeliasim" and run.header.config["demos"] is None
    facts = run.header.protocol["task_facts"]
    assert facts["simulator"] == "coppeliasim" and ("fork" in facts["simulator_version"]) is (flavour == "fork")
    assert "demos" not in run.header.protocol["options"]
    outcomes = Counter(episode.outcome for episode in run.episodes)
    assert outcomes == ({"success": 6} if policy == "expert" else {"failure": 6})
    if policy == "zero":
        assert {(episode.steps, episode.failure) for episode in run.episodes} == {(25, "out of steps")}
    # One process, one launch for three tasks, and an orderly end.
    assert [event for _, event in happened()] == ["launch", *(f"task {task}" for task in TASKS_IN_ORDER), "shutdown"]
    assert len({process for process, _ in happened()}) == 1


TASKS_IN_ORDER = ("open_drawer", "turn_tap", "close_jar")  # the suite's


def test_two_workers_give_what_one_gives(coppelia, evaluate, happened):
    # The expert's actions tell where the target is; that of push_buttons hangs on the process's hashing, too.
    tasks = (*TASKS, "push_buttons")
    _, one = evaluate("one", "--policy", "expert", "--episodes", "3", tasks=tasks)
    code, two = evaluate("two", "--policy", "expert", "--episodes", "3", "--workers", "2", tasks=tasks)
    assert code == 0
    ordered = [sorted(map(str, map(without_times, read_run(path).episodes))) for path in (one, two)]
    assert len(ordered[0]) == 12 and ordered[0] == ordered[1]
    events = Counter(event for _, event in happened() if not event.startswith("task"))
    assert events == {"launch": 3, "shutdown": 3}
    assert len({process for process, _ in happened()}) == 3


def test_stored_demonstrations(flavour, evaluate, dataset):
    demos = dataset("peract", [1, 0, 0, 1])
    code, out = evaluate("run", "--policy", "expert", "--episodes", "4", "--demos", str(demos), tasks=["turn_tap"])
    assert code == 0
    run = read_run(out)
    assert [episode.variation for episode in run.episodes] == [1, 0, 0, 1]
    assert {episode.outcome for episode in run.episodes} == {"success"}
    assert run.header.config["demos"] == str(demos)
    assert len(run.header.protocol["options"]["demos"]) == 12 and str(demos) not in str(run.header.protocol)
    _, seeded = evaluate("seeded", "--policy", "zero", "--episodes", "1", tasks=["turn_tap"])
    assert read_run(seeded).header.protocol_hash != run.header.protocol_hash


def test_a_run_on_stored_demonstrations_replays(coppelia, evaluate, dataset, tmp_path, capsys):
    demos = dataset("peract", [1, 0])
    _, out = evaluate("run", "--policy", "expert", "--episodes", "2", "--demos", str(demos), tasks=["turn_tap"])
    assert replay.main([str(out), "--out", str(tmp_path / "again.jsonl")]) == 0
    assert "2 of 2 episodes ended as recorded" in capsys.readouterr().out
    swapped = demos.rename(tmp_path / "swapped") / "turn_tap/all_variations/episodes"
    for before, after in (("episode0", "spare"), ("episode1", "episode0"), ("spare", "episode1")):
        (swapped / before).rename(swapped / after)
    assert replay.main([str(out), "--demos", str(tmp_path / "swapped")]) == 2
    assert "are not those of the record" in capsys.readouterr().err


BAD = {
    "--sim coppeliasim --demos nowhere": "nowhere is not a folder",
    "--sim mujoco --demos .": "add --sim coppeliasim",
    "--suite mock --demos .": "leave --demos out",
}


@pytest.mark.parametrize("bad", list(BAD))
def test_bad_demos_are_told(coppelia, tmp_path, monkeypatch, capsys, bad):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    suite = [] if "--suite" in bad else ["--suite", "rlbench18"]
    assert main([*suite, "--policy", "zero", *bad.split()]) == 2
    assert BAD[bad] in capsys.readouterr().err and list(folder.iterdir()) == []


def test_missing_demonstrations_are_told_before_anything_begins(coppelia, dataset, evaluate, happened, capsys):
    demos = dataset("peract", [1, 0])
    before = happened()
    code, out = evaluate("run", "--policy", "zero", "--demos", str(demos), tasks=["turn_tap"])
    assert code == 2 and not out.exists() and happened() == before
    assert "episode 2 of turn_tap needs" in capsys.readouterr().err


def test_tasks_of_the_fork_are_refused_before_the_run_begins(coppelia, evaluate, happened, capsys):
    coppelia("upstream")
    code, out = evaluate("run", "--policy", "zero", tasks=())
    assert code == 2 and not out.exists() and happened() == []
    told = capsys.readouterr().err
    assert "lacks slide_block_to_color_target, sweep_to_dustpan_of_size, place_wine_at_rack_location" in told
    assert "--tasks open_drawer" in told and "MohitShridhar" in told


def test_no_display_is_told_before_the_run_begins(coppelia, evaluate, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY")
    code, out = evaluate("run", "--policy", "zero")
    assert code == 2 and not out.exists() and "xvfb-run" in capsys.readouterr().err


def test_a_placement_that_never_succeeds_is_an_error_not_a_failure(coppelia, evaluate, happened):
    coppelia("fork", fault="placement")
    code, out = evaluate("run", "--policy", "zero", "--episodes", "1", tasks=["turn_tap"])
    assert code == 0
    (episode,) = read_run(out).episodes
    assert episode.outcome == "error" and "TaskEnvironmentError" in episode.error and episode.attempts == 2
    events = Counter(event for _, event in happened())
    assert events["launch"] == events["shutdown"] == 2


def test_a_record_is_not_resumed_on_other_demonstrations(coppelia, evaluate, dataset, capsys):
    demos = dataset("peract", [1, 1])
    flags = ("--policy", "zero", "--episodes", "1", "--demos", str(demos))
    assert evaluate("run", *flags, tasks=["turn_tap"])[0] == 0
    episodes = demos / "turn_tap/all_variations/episodes"
    for before, after in (("episode0", "spare"), ("episode1", "episode0"), ("spare", "episode1")):
        (episodes / before).rename(episodes / after)
    assert evaluate("run", *flags, "--resume", tasks=["turn_tap"])[0] == 2
    assert "protocol: there" in capsys.readouterr().err


def test_a_simulator_that_hangs_as_it_closes_holds_nothing_up(coppelia, evaluate, monkeypatch):
    monkeypatch.setattr(pool, "_CLOSING_S", 0.5)
    coppelia("fork", fault="placement,hang")
    _, out = evaluate("run", "--policy", "zero", "--episodes", "1", tasks=["turn_tap"])
    (episode,) = read_run(out).episodes
    assert episode.outcome == "error" and "TaskEnvironmentError" in episode.error and episode.attempts == 2


@pytest.mark.parametrize("fault", ["launch", "load", "launch,shutdown"])
def test_a_simulator_that_does_not_start_is_told_in_a_line(coppelia, evaluate, capfd, fault):
    coppelia("fork", fault=fault)
    code, out = evaluate("run", "--policy", "zero", tasks=["turn_tap"])
    told = capfd.readouterr().err
    assert code == 2 and not out.exists()
    assert told.startswith("error: CoppeliaSim does not start: RuntimeError: engine call failed (l")
    assert "COPPELIASIM_ROOT" in told and told.count("\n") == 1


GALLERY = ["--suite", "rlbench18", "--sim", "coppeliasim", "--size", "64", "--tasks"]


def test_a_gallery_launches_once(coppelia, tmp_path, happened):
    out = tmp_path / "gallery"
    assert gallery.main([*GALLERY, "turn_tap", "open_drawer", "--out", str(out)]) == 0
    assert (out / "turn_tap.png").stat().st_size > 1000
    assert [event for _, event in happened()] == ["launch", "task open_drawer", "task turn_tap", "shutdown"]


def test_a_gallery_goes_on_after_a_task_without_a_solution(coppelia, tmp_path, capsys):
    coppelia("fork", fault="solve:10")
    assert gallery.main([*GALLERY, "turn_tap", "open_drawer", "--out", str(tmp_path / "gallery")]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("open_drawer: not drawn: RLBench cannot solve") and printed.err.count("\n") == 1
    assert [path.name for path in (tmp_path / "gallery").iterdir()] == ["turn_tap.png"]


def test_demonstrations_of_several_tasks_need_one_launch(coppelia, tmp_path, happened, monkeypatch):
    monkeypatch.setattr(demo_episodes._Process, "env", None)
    settings = demo_episodes.PlaySettings("rlbench18", "coppeliasim", "train", 0)
    features = _features(demo_episodes.describe(settings, "turn_tap"))
    for task in ("turn_tap", "open_drawer"):
        assert demo_episodes.play(settings, tmp_path, features, task, 0).failure is None
    demo_episodes._close()
    assert [event for _, event in happened()] == ["launch", "task turn_tap", "task open_drawer", "shutdown"]
