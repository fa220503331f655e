"""Features of a frozen encoder are computed once for all runs over it, and never mixed up."""

import pytest
import torch
from made_up import calibrate, config, demonstrations
from safetensors.torch import load_file

from model.checkpoint import load_checkpoint
from model.encoder import Encoder
from train.config import PretrainConfig
from train.pretrain import pretrain
from train.run import train


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    calibrate(monkeypatch)
    settings = PretrainConfig(
        "mock", out=tmp_path / "encoder", steps=2, batch_size=4, warmup=1, threads=1, precision="float32"
    )
    return pretrain(settings, demonstrations())


def trained(tmp_path, encoder, **changes):
    settings = {"encoder": encoder, "steps": 2, "warmup": 1, "batch_size": 4} | changes
    return train(config(tmp_path, **settings), demonstrations(episodes=5))


def kept(encoder):
    return sorted((encoder.parent / "features").glob("*"))


def test_a_second_objective_reads_what_the_first_one_made(tmp_path, encoder, monkeypatch, capsys):
    first = trained(tmp_path / "a", encoder)
    (file,) = kept(encoder)
    assert f"kept in {file}" in capsys.readouterr().out
    look, seen = Encoder.look, []
    monkeypatch.setattr(Encoder, "look", lambda self, batch: seen.append(len(batch.images)) or look(self, batch))
    trained(tmp_path / "b", encoder, objective="mse")
    assert f"read from {file}" in capsys.readouterr().out
    assert seen == [4]  # the first frames, to compare
    # Nothing changes for the weights.
    again = trained(tmp_path / "c", encoder)
    assert load_checkpoint(again).sha256 == load_checkpoint(first).sha256


@pytest.mark.parametrize("change", ["batch", "data", "encoder"])
def test_other_circumstances_have_features_of_their_own(tmp_path, encoder, monkeypatch, change):
    trained(tmp_path / "a", encoder)
    (file,) = kept(encoder)
    before = file.read_bytes()
    if change == "batch":
        trained(tmp_path / "b", encoder, batch_size=5)
    elif change == "data":
        train(config(tmp_path / "b", encoder=encoder, steps=2, warmup=1), demonstrations(episodes=6))
    else:
        # The same file is meant, but the program makes something else of the frames: all are computed anew.
        look = Encoder.look
        monkeypatch.setattr(
            Encoder, "look", lambda self, batch: (seen := look(self, batch))._replace(logits=seen.logits + 0.5)
        )
        trained(tmp_path / "b", encoder)
    files = kept(encoder)
    if change == "encoder":
        assert files == [file] and file.read_bytes() != before
    else:
        assert len(files) == 2 and file.read_bytes() == before


def test_a_damaged_file_is_made_again_and_an_unwritable_folder_told(tmp_path, encoder, capsys):
    trained(tmp_path / "a", encoder)
    (file,) = kept(encoder)
    whole = {name: tensor.clone() for name, tensor in load_file(file).items()}
    file.write_bytes(file.read_bytes()[:-50])
    trained(tmp_path / "b", encoder)
    assert f"kept in {file}" in capsys.readouterr().out
    assert all(torch.equal(tensor, whole[name]) for name, tensor in load_file(file).items())
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("in the way")
    trained(tmp_path / "c", encoder)
    assert f"not written to {file.parent}" in capsys.readouterr().out
