"""`base` in its stages: a frozen Qwen3-VL, then LoRA at two learning rates."""

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up import config, dataset, demonstrations
from tiny_qwen import write_tiny_qwen

from envs.spec import InputError
from model.checkpoint import load_checkpoint
from model.trunk import TrunkConfig
from train import facts
from train.loop import Trainer
from train.run import main, train
from train.stages import BackboneConfig


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Six steps in three stages of two, with a tiny backbone and a trunk to match."""
    monkeypatch.setattr(
        facts, "BASE", TrunkConfig(32, width=32, blocks=1, heads=2, ffn=32, cross_ffn=32, guidance_embedding=True)
    )
    folder = tmp_path / "qwen"
    folder.mkdir()
    write_tiny_qwen(folder)
    backbone = BackboneConfig(
        model=str(folder), image_size=32, dtype="float32", frozen_steps=2, lora_steps=4, lora_rate=1e-2
    )
    return config(tmp_path, size="base", backbone=backbone, precision="float32", log_every=1)


def test_a_tiny_backbone_goes_through_all_three_stages(settings, tmp_path, monkeypatch):
    seen = []
    original = Trainer.train_step

    def watched(trainer):
        entry = original(trainer)
        lora = {name: tensor.clone() for name, tensor in trainer.network.encoder.state_dict().items()}
        rates = {group["part"]: group["lr"] for group in trainer.optimizer.param_groups}
        seen.append((trainer.network.encoder.stage, rates["lora"], lora, trainer.features is not None))
        return entry

    monkeypatch.setattr(Trainer, "train_step", watched)
    path = train(settings, demonstrations(held_out=True))
    assert [stage for stage, *_ in seen] == ["frozen"] * 2 + ["lora"] * 4
    assert [rate for _, rate, *_ in seen] == [1e-2] * 4 + [5e-6] * 2
    assert [kept for *_, kept in seen] == [True] * 2 + [False] * 4
    moved = [
        max((seen[k][2][name] - seen[k - 1][2][name]).abs().max().item() for name in seen[k][2]) for k in range(1, 6)
    ]
    assert moved[0] == 0 and all(step > 1e-3 for step in moved[1:3]) and all(0 < step < 1e-4 for step in moved[3:])

    loaded = load_checkpoint(path, "drifting")
    assert path.stat().st_size < 1_000_000  # LoRA and trunk alone
    assert loaded.facts.vocabulary.encode(["open the drawer"]).shape == (1, 48)
    weights = loaded.network.encoder.state_dict()
    assert weights and all(name.count("lora") for name in weights)


def test_base_resumes_exactly(settings, tmp_path, monkeypatch):
    whole = load_checkpoint(train(settings, demonstrations()))
    (tmp_path / "run").rename(tmp_path / "whole")
    original = Trainer.train_step

    def interrupted(trainer):
        if trainer.step == 2:
            signal.raise_signal(signal.SIGTERM)
        return original(trainer)

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt, match="step 3"):
        train(settings, demonstrations())
    monkeypatch.setattr(Trainer, "train_step", original)
    assert load_checkpoint(train(settings, demonstrations())).sha256 == whole.sha256


def test_views_that_were_not_recorded_are_left_out(settings, tmp_path):
    demos = dataset()
    views = np.ones(demos.images.shape[:2], bool)
    views[::3, 1] = False
    blank = demos.images.copy()
    blank[::3, 1] = 255  # must not matter
    runs = []
    for name, images in (("a", demos.images), ("b", blank)):
        part = replace(demos, images=images, views=views)
        runs.append(load_checkpoint(train(replace(settings, out=tmp_path / name), demonstrations(part))).network)
    assert all(torch.equal(a, b) for a, b in zip(*(n.state_dict().values() for n in runs), strict=True))


def test_mistakes_with_the_backbone_are_named(tmp_path, capsys):
    with pytest.raises(InputError, match="end at steps 5 and 3"):
        BackboneConfig(frozen_steps=5, lora_steps=3)
    common = ["--suite", "rlbench18", "--size", "base", "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match="2"):
        main([*common, "--backbone.frozen-steps", "5", "--backbone.lora-steps", "3"])
    assert "stages end at steps 5 and 3" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_encoder_file_does_not_go_with_a_backbone(settings, tmp_path):
    with pytest.raises(InputError, match="--encoder is for --size small"):
        train(replace(settings, encoder=tmp_path / "e.safetensors"), demonstrations())
    with pytest.raises(InputError, match="no model folder"):
        train(replace(settings, backbone=BackboneConfig(model=str(tmp_path / "no"))), demonstrations())
