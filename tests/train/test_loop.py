import json
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from envs.spec import InputError
from model.cameras import CameraModel, project
from model.checkpoint import load_checkpoint
from train import run as train_run
from train.config import TrainConfig
from train.data import augment, chunk_rows, prepare, step_rows
from train.lerobot_v3 import DemoDataset
from train.loop import learning_rate

NAMES = ("gripper_open", "eef_x", "eef_y", "eef_z", "eef_qx", "eef_qy", "eef_qz", "eef_qw", "time")
DOWN = [1.0, 0.0, 0.0, 0.0]
# From above (the image's right is x, its up is y) and from the side (right is y, up is z).
CAMERAS = (
    CameraModel(50.0, "world", (0.25, 0.0, 2.0), (0.0, 0.0, 0.0, 1.0)),
    CameraModel(50.0, "world", (1.3, 0.0, 1.0), (0.5, 0.5, 0.5, 0.5)),
)


def demonstrations(episodes: int = 6, keyframes: int = 3, seed: int = 0) -> DemoDataset:
    """Tiny made-up demonstrations: two views of 32 pixels, a bright square that shows the target."""
    rng = np.random.default_rng(seed)
    n = episodes * keyframes
    images = rng.integers(0, 60, (n, 2, 32, 32, 3)).astype(np.uint8)
    position = rng.uniform([0.1, -0.3, 0.8], [0.4, 0.3, 1.2], (n, 3))
    for row, views in enumerate(project(CAMERAS, torch.zeros(n, 7), torch.from_numpy(position).float())):
        for view, (right, down) in enumerate(((views.clamp(-1, 1) + 1) * 16).int().tolist()):
            images[row, view, max(down - 3, 0) : down + 3, max(right - 3, 0) : right + 3] = 255
    index = np.arange(n)
    state = np.zeros((n, len(NAMES)), np.float32)
    state[:, 1:4] = rng.uniform([0.1, -0.3, 0.8], [0.4, 0.3, 1.2], (n, 3))
    state[:, 4:8] = DOWN
    state[:, 8] = 1 - (index % keyframes) * 0.1
    actions = np.concatenate([position, np.tile(DOWN, (n, 1)), (index % 2)[:, None]], axis=1).astype(np.float32)
    return DemoDataset(
        images=images,
        cameras=("left", "right"),
        proprioception=state,
        proprioception_names=NAMES,
        instructions=[("push the red button", "open the drawer")[i // keyframes % 2] for i in index],
        actions=actions,
        episode_index=index // keyframes,
        frame_index=index % keyframes,
        keyframe_index=index % keyframes,
        task=[("push_buttons", "open_drawer")[i // keyframes % 2] for i in index],
    )


def config(tmp_path, **changes) -> TrainConfig:
    base = TrainConfig(
        "mock",
        out=tmp_path / "run",
        steps=6,
        batch_size=4,
        warmup=2,
        save_every=3,
        log_every=2,
        threads=1,
        validate_every=6,
    )
    return replace(base, **changes)


def calibrate(monkeypatch, cameras: tuple[CameraModel, ...] = CAMERAS) -> None:
    """Calibrates the made-up views, which no suite has."""
    monkeypatch.setattr(train_run, "calibration", lambda config, demos: cameras)


def test_chunks_start_with_the_frames_own_keyframe_and_repeat_the_last():
    episode, keyframe = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1])
    rows, exists = chunk_rows(episode, keyframe, 3)
    assert rows.tolist() == [[0, 1, 2], [1, 2, 2], [2, 2, 2], [3, 4, 4], [4, 4, 4]]
    assert exists.tolist()[1] == [True, True, False]


def test_chunks_skip_frames_between_keyframes():
    episode, keyframe = np.zeros(5, int), np.array([0, 0, 0, 1, 1])
    rows, _ = chunk_rows(episode, keyframe, 2)
    assert rows.tolist() == [[0, 3], [1, 3], [2, 3], [3, 3], [4, 3]]


def test_every_epoch_visits_every_frame_once():
    seen = torch.cat([step_rows(step, 4, 10, seed=3) for step in range(5)])
    assert sorted(seen[:10].tolist()) == list(range(10)) == sorted(seen[10:].tolist())
    assert seen[:10].tolist() != seen[10:].tolist()


def test_batches_hold_what_the_dataset_says(tmp_path):
    demos = demonstrations()
    facts = train_run.facts_of(config(tmp_path), train_run.objective_of(config(tmp_path)), demos)
    data = prepare(demos, False, 2, facts.normalizer, facts.vocabulary)
    batch = data.batch(torch.tensor([4, 5]))
    action = facts.normalizer.to_action(batch.target[0, 0].numpy())
    assert np.allclose(action[:, :8], demos.actions[[4, 5]], atol=1e-5)
    assert batch.mask.sum() == 2 * 2 * 10 and batch.goal is None
    assert np.array_equal(batch.observations.images[1].numpy(), demos.images[5])
    assert np.array_equal(batch.observations.tip.numpy(), demos.proprioception[[4, 5], 1:8])
    calibrated = prepare(demos, True, 2, facts.normalizer, facts.vocabulary).batch(torch.tensor([4, 5]))
    assert np.array_equal(calibrated.goal.numpy(), demos.actions[[4, 5], :3])


def test_the_end_effectors_pose_is_found_by_name_and_needed(tmp_path):
    demos = demonstrations()
    facts = train_run.facts_of(config(tmp_path), train_run.objective_of(config(tmp_path)), demos)
    order = [8, 3, 2, 1, 0, 7, 6, 5, 4]
    names = tuple(NAMES[k] for k in order)
    shuffled = replace(demos, proprioception=demos.proprioception[:, order], proprioception_names=names)
    data = prepare(shuffled, False, 1, facts.normalizer, facts.vocabulary)
    assert np.array_equal(data.tip.numpy(), demos.proprioception[:, 1:8])
    unnamed = replace(demos, proprioception_names=("height", *NAMES[1:3], "eef_height", *NAMES[4:]))
    with pytest.raises(InputError, match=r"eef_z.*train\.demos"):
        prepare(unnamed, False, 1, facts.normalizer, facts.vocabulary)


def test_uncalibrated_or_unknown_cameras_give_no_calibration(tmp_path):
    demos = demonstrations()
    assert train_run.calibration(config(tmp_path), demos) == ()
    assert train_run.calibration(config(tmp_path), replace(demos, cameras=("front", "overhead"))) == ()


@pytest.mark.sim
def test_calibration_comes_from_the_suite_in_the_demonstrations_order(tmp_path):
    settings, demos = config(tmp_path, suite="rlbench18"), demonstrations()
    cameras = train_run.calibration(settings, replace(demos, cameras=("wrist", "front")))
    assert [camera.mount for camera in cameras] == ["eef", "world"]
    assert train_run.calibration(settings, replace(demos, cameras=("front", "wrist"))) == cameras[::-1]
    assert train_run.calibration(settings, replace(demos, cameras=("front", "elbow"))) == ()


def test_augmentation_off_changes_nothing_and_on_keeps_the_scene(tmp_path):
    demos = demonstrations()
    facts = train_run.facts_of(config(tmp_path), train_run.objective_of(config(tmp_path)), demos)
    batch = prepare(demos, True, 1, facts.normalizer, facts.vocabulary).batch(torch.arange(4))
    rng = torch.Generator().manual_seed(0)
    assert torch.equal(augment(batch, 0.0, rng).observations.images, batch.observations.images)
    changed = augment(batch, 0.1, rng)
    jittered = changed.observations.images.int() - batch.observations.images.int()
    assert 0 < jittered.abs().max() < 40
    assert changed.observations[1:] == batch.observations[1:] and changed[1:] == batch[1:]
    # One change for the whole of a view: what was of one grey still is.
    dark, bright = (batch.observations.images == value for value in (0, 255))
    for row in range(4):
        for view in range(2):
            images = changed.observations.images[row, view]
            assert len(images[bright[row, view]].unique()) == len(images[dark[row, view]].unique()) == 1


def test_learning_rate_warms_up_and_ends_at_its_final_share(tmp_path):
    settings = config(tmp_path, steps=100, warmup=10, learning_rate=1.0, final_share=0.05)
    assert learning_rate(0, settings) == pytest.approx(0.1) and learning_rate(10, settings) == pytest.approx(1.0)
    assert learning_rate(100, settings) == pytest.approx(0.05)


@pytest.mark.parametrize("cameras", [(), CAMERAS], ids=["uncalibrated", "calibrated"])
def test_a_resumed_run_ends_with_the_same_weights(tmp_path, monkeypatch, cameras):
    calibrate(monkeypatch, cameras)
    demos = demonstrations()
    whole = train_run.train(config(tmp_path, out=tmp_path / "whole"), demos, demonstrations(seed=1))
    steps = 0
    original = train_run.Trainer.train_step

    def interrupted(trainer):
        nonlocal steps
        steps += 1
        if steps == 4:
            signal.raise_signal(signal.SIGTERM)
        return original(trainer)

    monkeypatch.setattr(train_run.Trainer, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt, match="step 4"):
        train_run.train(config(tmp_path), demos)
    monkeypatch.setattr(train_run.Trainer, "train_step", original)
    parts = train_run.train(config(tmp_path), demos)
    assert load_checkpoint(whole).sha256 == load_checkpoint(parts).sha256
    entries = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [2, 4, 6]
    assert {"loss", "force_0.2", "scale", "best_mse", "centroid_mse", "spread", "gradient_norm"} <= set(entries[0])
    assert ({"pointer", "point_cm"} <= set(entries[0])) == bool(cameras)
    validated = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()][-1]
    assert validated["kind"] == "validation" and validated["open_drawer/position_cm"] > 0
    assert ("all/point_cm" in validated) == bool(cameras)
    assert load_checkpoint(whole).facts.network.encoder.cameras == cameras


@pytest.mark.parametrize("objective", ["hybrid_queue", "diffusion", "flow", "cimle"])
def test_every_objective_resumes_exactly(tmp_path, monkeypatch, objective):
    """Queues included: they are part of the saved state."""
    calibrate(monkeypatch)
    demos = demonstrations()
    whole = train_run.train(config(tmp_path, out=tmp_path / "whole", objective=objective), demos)
    original = train_run.Trainer.train_step

    def interrupted(trainer):
        if trainer.step == 4:
            signal.raise_signal(signal.SIGTERM)
        return original(trainer)

    monkeypatch.setattr(train_run.Trainer, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_run.train(config(tmp_path, objective=objective), demos)
    monkeypatch.setattr(train_run.Trainer, "train_step", original)
    parts = train_run.train(config(tmp_path, objective=objective), demos, demonstrations(seed=1))
    assert load_checkpoint(whole, objective).sha256 == load_checkpoint(parts, objective).sha256


def test_resuming_with_other_settings_is_refused(tmp_path):
    demos = demonstrations()
    train_run.train(config(tmp_path), demos)
    with pytest.raises(InputError, match="learning_rate"):
        train_run.train(config(tmp_path, learning_rate=1e-3), demos)


def test_mistakes_on_the_command_line_exit_with_2(tmp_path, capsys):
    out = tmp_path / "run"
    common = ["--out", str(out), "--data", str(tmp_path / "none")]
    assert train_run.main(["--suite", "rlbench18", *common]) == 2
    assert "train.demos" in capsys.readouterr().err
    assert train_run.main(["--suite", "rlbench18", "--objective", "drifitng", *common]) == 2
    assert "Did you mean 'drifting'" in capsys.readouterr().err
    assert train_run.main(["--suite", "rlbench18", "--options", "sample=3", *common]) == 2
    assert "sample" in capsys.readouterr().err
    assert not out.exists()


def errors_after(tmp_path, steps: int) -> dict[str, float]:
    demos = demonstrations(episodes=40)
    settings = config(
        tmp_path,
        objective="mse",
        steps=steps,
        batch_size=32,
        learning_rate=1e-3,
        warmup=10,
        ema=0.9,
        precision="float32",
        validate_every=steps,
    )
    train_run.train(settings, demos, demos)
    return json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])


MIDDLE = 20.0  # cm: about the median error of guessing the middle


@pytest.mark.slow
def test_training_finds_the_square(tmp_path):
    assert errors_after(tmp_path, 90)["all/position_cm"] < MIDDLE / 1.5


def test_calibrated_cameras_find_the_square_in_space(tmp_path, monkeypatch):
    """Sooner and better than without: the pointer learns pixels, geometry does the rest."""
    calibrate(monkeypatch)
    errors = errors_after(tmp_path, 20)
    assert errors["all/point_cm"] < MIDDLE / 2.5 and errors["all/position_cm"] < MIDDLE / 2.5
