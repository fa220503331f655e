"""Pre-training of the encoder, and training over it."""

import json
import signal
from dataclasses import replace

import pytest
import torch
from made_up import calibrate, config, dataset, demonstrations

from envs.spec import InputError
from model.checkpoint import load_checkpoint, load_encoder
from model.colours import SHARPNESS
from model.encoder import Encoder
from train.choice import CHOICES
from train.config import PretrainConfig
from train.data import prepare
from train.features import FeatureCache
from train.loop import Trainer
from train.pretrain import main, pretrain
from train.run import train
from train.trainers import EncoderTrainer


def pretrained(tmp_path, monkeypatch, **changes):
    """A pre-trained encoder of a few steps."""
    calibrate(monkeypatch)
    common = {"steps": 4, "batch_size": 4, "warmup": 2, "threads": 1, "log_every": 2, "save_every": 2}
    common["precision"] = "float32"  # processors without AVX-512 emulate bfloat16, slowly
    settings = PretrainConfig("mock", out=tmp_path / "encoder", **common | changes)
    return pretrain(settings, demonstrations(held_out=True))


def test_a_pretrained_encoder_is_frozen_and_kept(tmp_path, monkeypatch):
    path = pretrained(tmp_path, monkeypatch)
    encoder = load_encoder(path)
    entries = [json.loads(line) for line in (tmp_path / "encoder/metrics.jsonl").read_text().splitlines()]
    assert {"probe", "heat", "pointer", "refined_cm", "point_cm"} <= set(entries[0])
    assert {"all/position_cm", "all/refined_cm", "push_buttons/gripper"} <= set(entries[-1])
    policy = load_checkpoint(train(config(tmp_path, encoder=path), demonstrations(held_out=True)))
    assert policy.facts.training["encoder"] == encoder.sha256 and policy.facts.normalizer == encoder.facts.normalizer
    weights = policy.network.encoder.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in encoder.weights.items())
    other = load_checkpoint(train(config(tmp_path, encoder=path, out=tmp_path / "o", seed=1), demonstrations()))
    assert not torch.equal(other.network.trunk.position, policy.network.trunk.position)
    first = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0])
    assert "loss" in first and "pointer" not in first


def test_pretraining_resumes_exactly(tmp_path, monkeypatch):
    whole = load_encoder(pretrained(tmp_path, monkeypatch, precision="bfloat16"))
    original = Trainer.train_step

    def interrupted(trainer):
        if trainer.step == 2:
            signal.raise_signal(signal.SIGTERM)
        return original(trainer)

    (tmp_path / "encoder").rename(tmp_path / "whole")
    monkeypatch.setattr(Trainer, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt, match="step 3"):
        pretrained(tmp_path, monkeypatch, precision="bfloat16")
    monkeypatch.setattr(Trainer, "train_step", original)
    assert load_encoder(pretrained(tmp_path, monkeypatch, precision="bfloat16")).sha256 == whole.sha256


def test_views_are_moved_for_the_glimpse_and_recoloured_for_both(tmp_path, monkeypatch):
    """Each by its own setting; the close look reads the views through their calibration, unmoved."""
    calibrate(monkeypatch)
    plain = dataset()
    sentences = [("push the red button", "push the blue button")[i % 2] for i in range(len(plain.images))]
    demos = demonstrations(replace(plain, instructions=sentences))
    shas, seen = set(), {}
    original = EncoderTrainer.moved

    def watched(trainer, batch, rng):
        result = original(trainer, batch, rng)
        seen[trainer.config.out.name] = batch, result
        return result

    monkeypatch.setattr(EncoderTrainer, "moved", watched)
    for name, recolour, warp in (("both", 1.0, 1.0), ("warp", 0.0, 1.0), ("recolour", 1.0, 0.0), ("none", 0.0, 0.0)):
        settings = PretrainConfig(
            "mock", out=tmp_path / name, steps=1, batch_size=8, threads=1, recolour=recolour, warp=warp
        )
        shas.add(load_encoder(pretrain(settings, demos)).sha256)
        before, (batch, glimpsed, maps) = seen[name]
        changed = (before.observations.words != batch.observations.words).any(1)
        images, new = before.observations.images, batch.observations.images
        recoloured = (images != new).flatten(1).any(1)
        assert changed.any() == recoloured.any() == bool(recolour)
        assert not (changed & ~recoloured).any()  # red stays red when green and blue are exchanged
        assert torch.equal(glimpsed.images, new) == (maps is None) == (not warp)
        assert torch.equal(glimpsed.words, batch.observations.words)
    assert len(shas) == 4


def test_the_close_look_is_trained_on_alone(tmp_path, monkeypatch):
    first = pretrained(tmp_path, monkeypatch)
    second = pretrained(tmp_path / "second", monkeypatch, encoder=first)
    before, after = load_encoder(first), load_encoder(second)
    assert after.facts.training["encoder"] == before.sha256
    same = {name: torch.equal(before.weights[name], after.weights[name]) for name in before.weights}
    assert {name.split(".")[0] for name, equal in same.items() if not equal} == {"local", "fusion"}
    assert all(same[name] for name in same if not name.startswith(("local.", "fusion.")))


def test_kept_features_are_what_the_encoder_makes_of_the_same_frames(tmp_path, monkeypatch, capsys):
    """But for rounding. Weights trained on either may part: which cell a close look starts from can hang on a digit."""
    first = pretrained(tmp_path, monkeypatch)
    made, rows_of, checked = FeatureCache.__init__, FeatureCache.rows, []

    def watched(cache, look, data, *arguments):
        made(cache, look, data, *arguments)
        cache.again = lambda rows, device: look(data.batch(rows, device).observations)

    def compared(cache, rows, device):
        kept = rows_of(cache, rows, device)
        with torch.no_grad():
            fresh = cache.again(rows, device)
        for now, then in zip(fresh, kept, strict=True):
            torch.testing.assert_close(then, now, rtol=2**-8, atol=1e-5)
        checked.append(len(rows))
        return kept

    monkeypatch.setattr(FeatureCache, "__init__", watched)
    monkeypatch.setattr(FeatureCache, "rows", compared)
    pretrained(tmp_path / "kept", monkeypatch, encoder=first)
    assert checked == [4] * 4
    monkeypatch.setattr("train.features._SHARE", 0.0)  # no memory for what is kept: trained all the same
    slowly = load_encoder(pretrained(tmp_path / "slowly", monkeypatch, encoder=first))
    assert "features are not kept" in capsys.readouterr().out and len(checked) == 4
    before = load_encoder(first)
    assert any(not torch.equal(before.weights[name], slowly.weights[name]) for name in before.weights)


def test_the_choice_is_trained_alone_and_trunks_do_not_learn_from_it(tmp_path, monkeypatch):
    first = pretrained(tmp_path, monkeypatch)
    second = pretrained(tmp_path / "second", monkeypatch, encoder=first, part="choice")
    before, after = load_encoder(first), load_encoder(second)
    assert after.facts.network.encoder.choices == CHOICES and after.facts.training["encoder"] == before.sha256
    own = {name for name in after.weights if name.startswith("choice.")}
    assert set(after.weights) - own == set(before.weights)
    assert all(torch.equal(after.weights[name], tensor) for name, tensor in before.weights.items())
    entries = [json.loads(line) for line in (tmp_path / "second/encoder/metrics.jsonl").read_text().splitlines()]
    assert 0 <= entries[-1]["travelling/found"] <= 1 and 0 <= entries[0]["right"] <= 1
    demos = demonstrations().training
    data = prepare(demos, True, 1, before.facts.normalizer, before.facts.vocabulary)
    batch, seen = data.batch(torch.arange(6)), []
    for kept in (before, after):
        encoder = Encoder(kept.facts.network.encoder)
        encoder.load_state_dict(kept.weights)
        seen.append(encoder(batch.observations, batch.goal, torch.Generator().manual_seed(0)))
    assert torch.equal(seen[0].tokens, seen[1].tokens) and torch.equal(seen[0].anchor.point, seen[1].anchor.point)
    # Trained on once more, it starts from what it was.
    third = load_encoder(pretrained(tmp_path / "third", monkeypatch, encoder=second, part="close"))
    assert all(torch.equal(third.weights[name], after.weights[name]) for name in own)


def test_an_encoder_grows_and_is_at_first_what_it_was(tmp_path, monkeypatch):
    first = pretrained(tmp_path, monkeypatch)
    still = {"learning_rate": 1e-12, "precision": "float32"}
    second = pretrained(tmp_path / "second", monkeypatch, encoder=first, part="all", overview=1, names=True, **still)
    before, after = load_encoder(first), load_encoder(second)
    assert (after.facts.network.encoder.overview_layers, after.facts.network.encoder.names) == (1, True)
    assert after.weights["stem.weight"].shape[1] == before.weights["stem.weight"].shape[1] + len(SHARPNESS)
    demos = demonstrations().training
    batch, seen = prepare(demos, True, 1, before.facts.normalizer, before.facts.vocabulary).batch(torch.arange(6)), []
    for kept in (before, after):
        encoder = Encoder(kept.facts.network.encoder)
        encoder.load_state_dict(kept.weights)
        seen.append(encoder(batch.observations, batch.goal, torch.Generator().manual_seed(0)))
    assert torch.allclose(seen[0].tokens, seen[1].tokens, atol=1e-4)
    for options, message in (
        ({"encoder": second, "part": "all", "overview": 0}, "has 1 such layers already"),
        ({"encoder": first, "part": "close", "overview": 1}, "add --part all"),
        ({"encoder": first, "part": "choice", "names": True}, "add --part all"),
        ({"overview": -1}, "a number of layers, got -1"),
    ):
        with pytest.raises(InputError, match=message):
            pretrained(tmp_path / "third", monkeypatch, **options)


def test_without_calibration_an_encoder_learns_to_tell_actions_apart_alone(tmp_path):
    settings = PretrainConfig("mock", out=tmp_path / "e2", steps=2, threads=1, log_every=1, warp=0.0)
    pretrain(settings, demonstrations())
    for options, message in (
        ({"warp": 1.0}, "add --warp 0"),
        ({"encoder": tmp_path / "e2/encoder.safetensors"}, "train all of it"),
    ):
        with pytest.raises(InputError, match=f"not calibrated.*{message}"):
            pretrain(replace(settings, out=tmp_path / "e3", **options), demonstrations())
    logged = json.loads((tmp_path / "e2/metrics.jsonl").read_text().splitlines()[0])
    assert logged["probe"] > 0 and "pointer" not in logged
    path = train(config(tmp_path, encoder=tmp_path / "e2/encoder.safetensors"), demonstrations())
    assert path.is_file()


def test_files_in_each_others_place_are_refused(tmp_path, monkeypatch):
    path = pretrained(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=r"pre-trained encoder, not a policy.*--encoder"):
        load_checkpoint(path, "drifting")
    policy = train(config(tmp_path), demonstrations())
    with pytest.raises(InputError, match=r"objective 'drifting', not a pre-trained encoder.*train\.pretrain"):
        load_encoder(policy)
    with pytest.raises(InputError, match=r"no checkpoint .*train\.pretrain"):
        train(config(tmp_path, encoder=tmp_path / "none.safetensors"), demonstrations())
    renamed = demonstrations(replace(dataset(), cameras=("left", "up")))
    with pytest.raises(InputError, match=r"cameras \('left', 'up'\).*\('left', 'right'\)"):
        train(config(tmp_path, encoder=path, out=tmp_path / "other"), renamed)
    assert main(["--suite", "mock", "--data", str(tmp_path / "none")]) == 2
