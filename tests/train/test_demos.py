import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import yaml

pytest.importorskip("pyarrow")

from envs.spec import Camera, Env, InputError, SimulatorError, StepInfo, StepResult, TaskSpec
from envs.suite import load_suite
from model.actions import KEYFRAME_EEF
from train.demo_episodes import PlaySettings, describe, play, read_staged, staged_path
from train.demos import DemoConfig, ExpertError, _features, collect
from train.lerobot.dataset import read_dataset


class World(Env):
    """Three keyframes; the seed decides everything. Task "hard" fails on every third seed, "broken" on all."""

    def __init__(self, suite, task, options):
        self.spec = TaskSpec(
            suite=suite.name,
            task=task,
            cameras=tuple(Camera(name, 4, 5) for name in suite.cameras),
            proprioception=("eef_x", "gripper_open"),
            convention=KEYFRAME_EEF,
            control_hz=None,
            max_steps=5,
            success_rule=suite.success_rule,
            variations=suite.tasks[task],
            simulator="fake",
            simulator_version="1",
            adapter_version=options.get("adapter_version", 1),
            action_low=(0.0,) * 8,
            action_high=(1.0,) * 8,
        )

    def reset(self, episode):
        self.episode, self.t = episode, 0.0
        if self.spec.task == "crashing":
            raise SimulatorError("the fake simulator crashed")
        return self._observation()

    def expert_action(self):
        if self.spec.task == "no_expert":
            raise NotImplementedError("no_expert has no scripted expert")
        native = np.array([self.t, 0, self.episode.seed / 100, 0, 0, 0, 1, 1], np.float32)
        return self.spec.embodiment.encode(native)

    def step(self, action):
        assert action[0] == self.t
        self.t += 1.0
        fails = self.spec.task == "broken" or (self.spec.task == "hard" and self.episode.seed % 3 == 0)
        if fails and self.t == 2:
            return StepResult(self._observation(), True, StepInfo(failure="no path", planner_failure=True))
        done = self.t == 3
        return StepResult(self._observation(), done, StepInfo(success=done, seconds={"physics": 1e-3}))

    def hold_action(self):
        raise NotImplementedError

    def render(self, height=480, width=640):
        raise NotImplementedError

    def _observation(self):
        rng = np.random.default_rng([self.episode.seed, int(10 * self.t)])
        instruction = f"do {self.spec.task} as variation {self.episode.variation}"
        if self.spec.task == "hashing":
            instruction += f" in process {hash('a word')}"
        return {
            "images": {c.name: rng.integers(256, size=(4, 5, 3), dtype=np.uint8) for c in self.spec.cameras},
            "proprioception": np.array([self.t, 1.0], np.float32),
            "instruction": instruction,
        }


class FilmedWorld(World):
    intermediate_observations = 0

    def step(self, action):
        start = self.t
        result = super().step(action)
        end, self._between = self.t, []
        for k in range(self.intermediate_observations):
            self.t = start + (k + 1) / (self.intermediate_observations + 1) * (end - start)
            self._between.append(self._observation())
        self.t = end
        return result

    def take_intermediate(self):
        return self._between


def make(suite, task, sim, options):
    return (FilmedWorld if sim == "filmed" else World)(suite, task, suite.options)


@pytest.fixture
def suite(tmp_path):
    return write_suite(tmp_path)


def write_suite(folder, name="demo_suite", **changes):
    facts = {
        "name": name,
        "title": "A suite of this test",
        "adapter": f"{__name__}:make",
        "simulators": ["plain", "filmed"],
        "tasks": {"easy": 2, "hard": 1, "broken": 1, "crashing": 1, "no_expert": 1, "hashing": 1},
        "full_task_count": 6,
        "episodes_per_task": 25,
        "quick_episodes_per_task": 3,
        "seeds": {
            "train": {"start": 0, "count": 100},
            "validation": {"start": 100, "count": 100},
            "test": {"start": 200, "count": 100},
        },
        "frozen_episodes": {},
        "max_steps": 5,
        "success_rule": "success_once",
        "execution_horizon": 1,
        "cameras": ["front", "wrist"],
        "image_size": 4,
        "episode_timeout_s": 10,
        "options": {},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(facts | changes))
    return str(path)


def config(suite, out, **changes):
    return replace(DemoConfig(suite, per_task=4, tasks=("easy", "hard"), out=out, workers=1), **changes)


def tree(root):
    files = [path for part in ("data", "meta") for path in (root / part).rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_staged_episode_holds_the_observation_before_each_action(suite, tmp_path):
    settings = PlaySettings(suite, None, "train", 0)
    facts = describe(settings, "easy")
    assert facts["features"]["action"] == ["x", "y", "z", "qx", "qy", "qz", "qw", "gripper"]
    outcome = play(settings, tmp_path, _features(facts), "easy", 3)
    assert outcome.failure is None
    assert outcome.seconds["simulator: physics"] == pytest.approx(3e-3)
    episode = read_staged(staged_path(tmp_path, "easy", 3))
    wanted = load_suite(suite).episodes("easy", "train", 4)[3]
    assert (episode.suite_task, episode.variation, episode.seed) == ("easy", wanted.variation, 3)
    # Proprioception and the action's x both hold the time: equal means "before", not "after".
    assert [state[0] for state in episode.frames["observation.state"].to_pylist()] == [0, 1, 2]
    assert [action[0] for action in episode.frames["action"].to_pylist()] == [0, 1, 2]


def test_workers_hash_alike(suite, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    collections = [collect(config(suite, tmp_path / name, tasks=("hashing",), per_task=1)) for name in "ab"]
    one, two = (read_dataset(tmp_path / name) for name in "ab")
    assert collections[0]["tasks"] == collections[1]["tasks"] and one.instructions == two.instructions
    assert "PYTHONHASHSEED" not in os.environ


def test_failures_are_replaced_by_later_seeds(suite, tmp_path):
    collection = collect(config(suite, tmp_path / "out"))
    # Seeds 0 and 3 of "hard" fail, so seeds 1, 2, 4, 5 are kept.
    assert collection["tasks"] == {"easy": {"played": 4, "kept": 4}, "hard": {"played": 6, "kept": 4}}
    data = read_dataset(tmp_path / "out")
    assert data.task == ["easy"] * 12 + ["hard"] * 12
    np.testing.assert_allclose(data.actions[12::3, 2], [0.01, 0.02, 0.04, 0.05])
    assert data.frame_index.tolist() == [0, 1, 2] * 8
    np.testing.assert_array_equal(data.keyframe_index, data.frame_index)
    assert data.images.shape == (24, 2, 4, 5, 3)
    assert set(data.instructions[12:]) == {"do hard as variation 0"}


def test_result_does_not_depend_on_workers_or_interruptions(suite, tmp_path):
    collect(config(suite, tmp_path / "one"))
    collect(config(suite, tmp_path / "three", workers=3))
    # Interrupted: only some episodes were staged, one of them half.
    collect(config(suite, tmp_path / "resumed", per_task=2))
    staged_path(tmp_path / "resumed/staging", "easy", 0).rename(tmp_path / "resumed/staging/easy/000000.partial")
    collect(config(suite, tmp_path / "resumed", workers=2))
    expected = tree(tmp_path / "one")
    assert len(expected) == 6
    assert tree(tmp_path / "three") == expected
    assert tree(tmp_path / "resumed") == expected


def test_staged_episodes_are_not_played_again(suite, tmp_path, capsys):
    collect(config(suite, tmp_path / "out"))
    staged = staged_path(tmp_path / "out/staging", "hard", 1)
    before = staged.stat().st_mtime_ns
    collect(config(suite, tmp_path / "out"))
    assert staged.stat().st_mtime_ns == before
    assert "all episodes were there already" in capsys.readouterr().out
    collect(config(suite, tmp_path / "out", resume=False))
    assert staged.stat().st_mtime_ns != before


def test_intermediate_frames_carry_the_keyframe_they_lead_to(suite, tmp_path):
    collect(config(suite, tmp_path, per_task=1, tasks=("easy",), sim="filmed", intermediate=2))
    data = read_dataset(tmp_path)
    assert data.frame_index.tolist() == list(range(9))
    assert data.keyframe_index.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    np.testing.assert_array_equal(data.actions[:, 0], data.keyframe_index)
    np.testing.assert_allclose(data.proprioception[:4, 0], [0, 1 / 3, 2 / 3, 1], atol=1e-6)


def test_intermediate_frames_need_an_environment_that_gives_them(suite, tmp_path):
    with pytest.raises(InputError, match="drop --intermediate"):
        collect(config(suite, tmp_path / "out", intermediate=2))
    assert not (tmp_path / "out").exists()


def test_validation_seeds_are_others(suite, tmp_path):
    collect(config(suite, tmp_path, per_task=1, tasks=("easy",), seeds="validation"))
    np.testing.assert_allclose(read_dataset(tmp_path).actions[0, 2], 1.0)


def test_staging_of_another_protocol_is_refused(suite, tmp_path):
    collect(config(suite, tmp_path / "out", per_task=1, tasks=("easy",)))
    changed = write_suite(tmp_path, options={"adapter_version": 2})
    with pytest.raises(InputError, match="another protocol_hash"):
        collect(config(changed, tmp_path / "out", per_task=1, tasks=("easy",)))


def test_foreign_dataset_is_not_overwritten(suite, tmp_path):
    (tmp_path / "meta").mkdir()
    with pytest.raises(InputError, match="choose another --out"):
        collect(config(suite, tmp_path))


def test_hopeless_expert_stops_the_run(suite, tmp_path):
    with pytest.raises(ExpertError, match=r"broken failed in 15 of \d+ episodes: no path"):
        collect(config(suite, tmp_path, tasks=("broken",)))
    assert json.loads((tmp_path / "staging/broken/000000.json").read_text())["failure"] == "no path"
    assert not (tmp_path / "meta").exists()


def test_missing_expert_is_an_input_error(suite, tmp_path):
    with pytest.raises(InputError, match="no scripted expert"):
        collect(config(suite, tmp_path, tasks=("no_expert",)))


def test_broken_simulator_is_reported(suite, tmp_path):
    with pytest.raises(SimulatorError, match="crashed"):
        collect(config(suite, tmp_path, tasks=("crashing",)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"per_task": 0}, "--per-task"), ({"workers": 0}, "--workers"), ({"intermediate": -1}, "--intermediate")],
)
def test_impossible_settings_are_refused(suite, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        collect(config(suite, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


def test_command_line_names_the_nearest_task(tmp_path):
    command = [sys.executable, "-m", "train.demos", "--suite", "rlbench18", "--tasks", "turn_tab", "--out", "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Did you mean 'turn_tap'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_interrupted_run_leaves_whole_episodes(tmp_path):
    command = [sys.executable, "-m", "train.demos", "--suite", "mock", "--per-task", "5000", "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("staging/*/*.parquet"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert errors == "interrupted; the same command goes on where it stopped.\n"
    staged = list(tmp_path.glob("staging/*/*.parquet"))
    assert len(staged) >= 5
    assert not list(tmp_path.glob("staging/*/*.partial"))
    assert not (tmp_path / "meta").exists()
    for path in staged:
        assert read_staged(path).frames.num_rows > 0
