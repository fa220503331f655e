import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up import calibrate, config, demonstrations
from made_up_trainer import entries, run

from envs.spec import InputError
from envs.suite import load_suite
from model.actions import EMBODIMENTS
from model.checkpoint import file_sha256, load_checkpoint
from results.records import read_run
from train import run as train_run
from train.demonstrations import Demonstrations
from train.lerobot.dataset import DemoDataset
from train.rollout import Rollouts, rollout_episodes


def silent(text):
    pass


def rollouts_of(settings, policy="expert"):
    return Rollouts(settings, None, policy=policy)


def test_episodes_are_of_the_validation_seeds_alone(tmp_path):
    episodes = rollout_episodes(config(tmp_path, rollout_episodes=3))
    assert [episode.task for episode in episodes] == ["reach"] * 3 + ["pick"] * 3
    assert [episode.seed for episode in episodes] == [1_000_000, 1_000_001, 1_000_002] * 2
    tested = {episode.seed for task in ("reach", "pick") for episode in load_suite("mock").episodes(task, "test")}
    assert tested.isdisjoint(episode.seed for episode in episodes)
    one = rollout_episodes(config(tmp_path, rollout_tasks=("pick",)))
    assert [(episode.task, episode.seed) for episode in one] == [("pick", 1_000_000), ("pick", 1_000_001)]


def test_a_rollout_is_a_record_and_its_rates(tmp_path):
    """Four of four: Wilson's lower bound is n / (n + z^2)."""
    settings, told = config(tmp_path), []
    result = rollouts_of(settings).play(4, told.append)
    assert told[1].startswith("rollout 0/4 episodes") and told[-1].startswith("rollout 4/4 episodes, success 100")
    assert result.numbers["success_low"] == pytest.approx(4 / (4 + 1.959964**2), abs=1e-4)
    expected = {"success": 1.0, "success_high": 1.0, "n": 4, "errors": 0, "reach/success": 1.0, "pick/success": 1.0}
    assert {name: value for name, value in result.numbers.items() if name != "success_low"} == expected
    assert "100.0 % [51.0, 100.0], n 4 (reach 100 %, pick 100 %)" in result.text
    record = read_run(settings.folder / "rollouts/step_4.jsonl")
    assert record.header.seed_block["name"] == "validation" and record.header.config["step"] == 4
    assert record.header.policy.name == "expert" and not record.missing


def test_tasks_have_rates_of_their_own_and_errors_are_failures(tmp_path, mock_yaml):
    """An episode that breaks the simulator, twice, is an error, and a failure."""
    broken = [episode.id for episode in load_suite("mock").episodes("pick", "validation", 2)][:1]
    suite = mock_yaml(options={"faults": {"broken": broken}})
    result = rollouts_of(config(tmp_path, suite=suite)).play(1, silent)
    assert (result.numbers["success"], result.numbers["errors"], result.numbers["n"]) == (0.75, 1, 4)
    assert (result.numbers["reach/success"], result.numbers["pick/success"]) == (1.0, 0.5)
    assert "errors 1, counted as failures, the first: SimulatorError: a fault that the suite asked for" in result.text


def test_what_cannot_play_says_so(tmp_path, mock_yaml):
    with pytest.raises(InputError, match="no_such_module"):
        rollouts_of(config(tmp_path), "no_such_module:Policy").play(1, silent)
    with pytest.raises(InputError, match="no option 'gravity'"):
        rollouts_of(config(tmp_path, suite=mock_yaml(options={"gravity": 1}))).play(1, silent)
    assert not (tmp_path / "run/rollouts").exists()


def test_records_of_lost_steps_are_deleted(tmp_path):
    folder = tmp_path / "run/rollouts"
    folder.mkdir(parents=True)
    for name in ("step_4.jsonl", "step_6.jsonl", "step_10.jsonl", "step_mine.jsonl"):
        (folder / name).touch()
    rollouts_of(config(tmp_path)).forget_after(6)
    assert sorted(path.name for path in folder.iterdir()) == ["step_4.jsonl", "step_6.jsonl", "step_mine.jsonl"]


@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_in_a_rollout_keeps_what_was_played(tmp_path, capfd, signals):
    """Once: no further episode begins. Twice: the worker ends at once. The same command plays the rest."""
    settings = config(tmp_path, steps=2, save_every=100, rollout_every=2, rollout_episodes=2)

    class Interrupted(Rollouts):
        def play(self, step, show):
            def interrupt(text):
                if "1/4" in text:
                    for _ in range(signals):
                        signal.raise_signal(signal.SIGINT)

            return super().play(step, interrupt)

    with pytest.raises(KeyboardInterrupt, match="stopped at step 2"):
        run(settings, Interrupted(settings, None, policy="expert"))
    assert "once more to stop at once" in capfd.readouterr().err
    assert torch.load(settings.folder / "state.pt", weights_only=True)["step"] == 2
    assert entries(settings.folder, "rollout") == []
    path = settings.folder / "rollouts/step_2.jsonl"
    (played,) = read_run(path).episodes
    run(settings, rollouts_of(settings))
    assert [(entry["step"], entry["n"]) for entry in entries(settings.folder, "rollout")] == [(2, 4)]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    ids = [line["id"] for line in lines if line["kind"] == "episode"]
    assert ids[0] == played.id and len(ids) == len(set(ids)) == 4


def test_a_signal_while_the_simulator_is_built_ends_the_rollout_at_once(tmp_path):
    rollouts = rollouts_of(config(tmp_path))
    rollouts.stop()
    with pytest.raises(KeyboardInterrupt):
        rollouts.play(1, silent)
    assert not (tmp_path / "run/rollouts").exists()


def mock_demonstrations(episodes=2):
    """What the expert does in the mock suite's training episodes."""
    suite, rows = load_suite("mock"), []
    robot = EMBODIMENTS["absolute_eef"]
    for number, task in enumerate(suite.tasks):
        env = suite.make(task)
        for k, episode in enumerate(suite.episodes(task, "train", episodes)):
            obs, done, frame = env.reset(episode), False, 0
            while not done:
                action = env.expert_action()
                rows.append((obs, robot.decode(action), number * episodes + k, frame, task))
                obs, done, _ = env.step(action)
                frame += 1
        env.close()
    observations, actions, index, frames, tasks = zip(*rows, strict=True)
    demos = DemoDataset(
        images=np.stack([np.stack([obs["images"][name] for name in suite.cameras]) for obs in observations]),
        cameras=suite.cameras,
        proprioception=np.stack([obs["proprioception"] for obs in observations]),
        proprioception_names=suite.spec("reach").proprioception,
        instructions=[obs["instruction"] for obs in observations],
        actions=np.stack(actions).astype(np.float32),
        episode_index=np.array(index),
        frame_index=np.array(frames),
        keyframe_index=np.array(frames),
        task=list(tasks),
    )
    return Demonstrations(demos)


def test_rollouts_play_the_averaged_weights_and_leave_them_alone(tmp_path, monkeypatch, capsys):
    demos = mock_demonstrations()
    settings = config(tmp_path, steps=3, save_every=3, objective="mse")
    plain = train_run.train(replace(settings, out=tmp_path / "plain"), demos)
    original = Rollouts.play

    def observed(rollouts, step, show):
        shutil.copy(settings.folder / "checkpoint.safetensors", tmp_path / "played.safetensors")
        return original(rollouts, step, show)

    monkeypatch.setattr(Rollouts, "play", observed)
    monkeypatch.setattr(Rollouts, "due", lambda rollouts, step: step == 2)  # one: each loads torch anew
    watched = train_run.train(replace(settings, rollout_every=2, rollout_episodes=1), demos)
    assert file_sha256(plain) == file_sha256(watched)
    played = load_checkpoint(tmp_path / "played.safetensors", "mse")
    assert played.facts.training["step"] == 2 and played.sha256 != file_sha256(watched)
    record = read_run(settings.folder / "rollouts/step_2.jsonl")
    assert record.header.policy.checkpoint_sha256 == played.sha256
    assert [episode.outcome for episode in record.episodes] != ["error"] * 2 and len(record.episodes) == 2
    assert [entry["n"] for entry in entries(settings.folder, "rollout")] == [2]
    assert "step 2  rollout on validation seeds: success" in capsys.readouterr().out
    saved = torch.load(settings.folder / "state.pt", weights_only=True)
    averaged = load_checkpoint(watched, "mse").network.state_dict()
    for name, tensor in saved["ema"].items():
        assert torch.equal(tensor.bfloat16().float(), averaged[name])


def test_views_are_not_cropped_where_the_cameras_are_calibrated(tmp_path, monkeypatch):
    calibrate(monkeypatch)
    with pytest.raises(InputError, match="calibrated"):
        train_run.train(config(tmp_path, crop=2), demonstrations())
    assert not (tmp_path / "run").exists()
