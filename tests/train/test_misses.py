"""Where an encoder points wrong: table and pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up import calibrate, config, dataset, demonstrations
from PIL import Image

from train import misses as module
from train.config import PretrainConfig
from train.data import prepare
from train.errors import FOUND
from train.misses import Misses, groups_of, look, main, picture, read_encoder, table
from train.pretrain import pretrain
from train.run import train


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    """Weights of an encoder that has hardly been trained."""
    calibrate(monkeypatch)
    settings = PretrainConfig("mock", out=tmp_path / "encoder", steps=2, batch_size=4, warmup=1, threads=1)
    return pretrain(settings, demonstrations())


def prepared(path):
    made, facts = read_encoder(path)
    return made, prepare(dataset(), True, 1, facts.normalizer, facts.vocabulary)


def test_the_table_counts_what_lies_more_than_four_centimetres_off(encoder):
    _, data = prepared(encoder)
    data = replace(data, task=["a"] * 6 + ["b"] * 6 + ["c"] * 6, keyframe=torch.tensor([2] * 6 + [0] * 6 + [1] * 6))
    away = np.array([0.01, 0.05, 0.06, 0.02, 0.09, 0.30] + [0.01] * 6 + [0.5, *[0.0] * 5])
    nearest = np.where(away == 0.30, 0.2, 0.01)
    found = Misses(torch.arange(18), data.goal.float(), away, nearest)
    assert list(groups_of(data, found)) == [("a", 2), ("c", 1), ("b", 0)]
    rows = table(data, found, 0.1).splitlines()[2:]
    assert [row.replace(" ", "") for row in rows] == ["|a|2|4/6|83|5.5|", "|c|1|1/6|100|0.0|", "|all||5/18|94|1.0|"]
    few = Misses(torch.arange(4), data.goal[:4].float(), away[:4], nearest[:4])
    assert not groups_of(data, few)


def test_what_is_found_is_measured_from_the_demonstrated_place(encoder):
    made, data = prepared(encoder)
    seen = look(made, data, torch.arange(5, 12))
    away = (seen.found - data.goal[5:12]).norm(dim=-1).numpy()
    assert np.allclose(seen.away, away, atol=1e-4) and np.array_equal(seen.lost, seen.away > FOUND)


def test_the_command_prints_and_draws(encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "read_dataset", lambda path: dataset())
    monkeypatch.setattr(module, "_FEWEST", 1)
    paths = tmp_path / "misses.png", tmp_path / "misses.md"
    call = ["--data", "x", "--threads", "1", "--picture", str(paths[0]), "--markdown", str(paths[1]), "--frames", "2"]
    assert main(["--checkpoint", str(encoder), *call]) == 0
    printed = capsys.readouterr().out
    assert printed == paths[1].read_text() + f"picture: {paths[0]}\n" and printed.count("\n") > 4
    drawn = np.asarray(Image.open(paths[0]).convert("RGB")).reshape(-1, 3)
    assert (drawn == (0, 220, 0)).all(1).any() or (drawn == (230, 0, 0)).all(1).any()
    policy = train(config(tmp_path, encoder=encoder), demonstrations())
    capsys.readouterr()
    assert main(["--checkpoint", str(policy), *call]) == 0
    assert capsys.readouterr().out == printed


def test_nothing_lost_makes_no_picture(encoder):
    made, data = prepared(encoder)
    none = Misses(torch.arange(18), data.goal.float(), np.zeros(18), np.zeros(18))
    assert picture(made, data, dataset(), none, 3) is None


def test_bad_input_is_refused(encoder, tmp_path, monkeypatch, capsys):
    assert main(["--checkpoint", str(tmp_path / "none"), "--data", "x"]) == 2
    assert "no checkpoint" in capsys.readouterr().err
    monkeypatch.setattr(module, "read_dataset", lambda path: replace(dataset(), cameras=("left", "up")))
    assert main(["--checkpoint", str(encoder), "--data", "x"]) == 2
    assert "has cameras ('left', 'up')" in capsys.readouterr().err
    monkeypatch.setattr(module, "read_dataset", lambda path: dataset())
    assert main(["--checkpoint", str(encoder), "--data", "x", "--tasks", "juggle"]) == 2
    assert "has no task 'juggle'" in capsys.readouterr().err
