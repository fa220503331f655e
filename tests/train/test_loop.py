import json
import signal
from dataclasses import replace

import pytest
import torch
from made_up import CAMERAS, calibrate, config, dataset, demonstrations

from envs.spec import InputError
from model.checkpoint import load_checkpoint
from model.objectives import mse
from model.objectives.base import noise_chunk
from train import run as train_run
from train.demonstrations import Demonstrations
from train.loop import Trainer, learning_rate


def test_learning_rate_warms_up_and_ends_at_its_final_share(tmp_path):
    settings = config(tmp_path, steps=100, warmup=10, learning_rate=1.0, final_share=0.05)
    assert learning_rate(0, settings) == pytest.approx(0.1) and learning_rate(10, settings) == pytest.approx(1.0)
    assert learning_rate(100, settings) == pytest.approx(0.05)


@pytest.mark.parametrize("cameras", [(), CAMERAS], ids=["uncalibrated", "calibrated"])
def test_a_resumed_run_ends_with_the_same_weights(tmp_path, monkeypatch, cameras):
    calibrate(monkeypatch, cameras)
    demos = demonstrations()
    whole = train_run.train(
        config(tmp_path, out=tmp_path / "whole", precision="bfloat16"), demonstrations(held_out=True)
    )
    steps = 0
    original = Trainer.train_step

    def interrupted(trainer):
        nonlocal steps
        steps += 1
        if steps == 4:
            signal.raise_signal(signal.SIGTERM)
        return original(trainer)

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt, match="step 4"):
        train_run.train(config(tmp_path, precision="bfloat16"), demos)
    monkeypatch.setattr(Trainer, "train_step", original)
    parts = train_run.train(config(tmp_path, precision="bfloat16"), demos)
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
    original = Trainer.train_step

    def interrupted(trainer):
        if trainer.step == 4:
            signal.raise_signal(signal.SIGTERM)
        return original(trainer)

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_run.train(config(tmp_path, objective=objective), demos)
    monkeypatch.setattr(Trainer, "train_step", original)
    parts = train_run.train(config(tmp_path, objective=objective), demonstrations(held_out=True))
    assert load_checkpoint(whole, objective).sha256 == load_checkpoint(parts, objective).sha256


def test_a_batch_in_pieces_is_the_same_batch(tmp_path, monkeypatch):
    """Up to rounding, where nothing is random; the pieces (2, 2 and 1 observations) are not of one size."""
    monkeypatch.setattr(mse, "noise_chunk", lambda *args: torch.zeros_like(noise_chunk(*args)))
    metrics = []
    for accumulate in (1, 3):
        settings = config(
            tmp_path, objective="mse", out=tmp_path / str(accumulate), accumulate=accumulate, batch_size=5, steps=1
        )
        train_run.train(replace(settings, precision="float32", jitter=0.0), demonstrations())
        metrics.append(json.loads((settings.folder / "metrics.jsonl").read_text().splitlines()[0]))
    whole, pieces = metrics
    for name in ("loss", "gradient_norm"):
        assert pieces[name] == pytest.approx(whole[name], rel=1e-4)


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
    demos = dataset(episodes=40)
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
    train_run.train(settings, Demonstrations(demos, demos))
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
