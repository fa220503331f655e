"""Frames that an encoder misses are drawn more often."""

import numpy as np
import pytest
import torch
from test_pretrain import pretrained

from envs.spec import InputError
from model.checkpoint import load_encoder
from train.hard import HardRows
from train.trainers import EncoderTrainer

TASK = ["open"] * 60 + ["close"] * 60
KEYFRAME = np.tile(np.arange(3), 40)


def test_groups_are_drawn_in_proportion_to_what_is_lost_in_them():
    looked_at = np.arange(0, 120, 2)
    group = np.array([f"{TASK[row]}/{KEYFRAME[row]}" for row in range(120)])
    lost = np.isin(group[looked_at], ["open/1"]) | ((group[looked_at] == "close/2") & (looked_at % 4 == 0))
    hard = HardRows(TASK, KEYFRAME, looked_at, lost)
    drawn = np.concatenate([hard.draw(step, 50, seed=3).numpy() for step in range(200)])
    shares = {name: (group[drawn] == name).mean() for name in np.unique(group)}
    assert shares["open/1"] == pytest.approx(2 / 3, abs=0.03) and shares["close/2"] == pytest.approx(1 / 3, abs=0.03)
    assert set(drawn) == set(np.flatnonzero(np.isin(group, ["open/1", "close/2"])))  # those not looked at too
    assert torch.equal(hard.draw(5, 8, 0), hard.draw(5, 8, 0)) and not torch.equal(
        hard.draw(5, 8, 0), hard.draw(6, 8, 0)
    )


def test_where_nothing_is_lost_all_frames_are_alike():
    hard = HardRows(TASK, KEYFRAME, np.arange(120), np.zeros(120, bool))
    assert np.allclose(hard.probability, 1 / 120)


def test_batches_hold_the_share_that_was_asked_for(tmp_path, monkeypatch):
    first = pretrained(tmp_path, monkeypatch)
    monkeypatch.setattr(
        "train.pretrain.hard_rows",
        lambda encoder, data, *_: HardRows(
            data.task, data.keyframe.numpy(), np.arange(len(data)), data.keyframe.numpy() == 1
        ),
    )
    seen, own = [], EncoderTrainer.rows

    def rows(self):
        seen.append(own(self))
        return seen[-1]

    monkeypatch.setattr(EncoderTrainer, "rows", rows)
    options = {"encoder": first, "part": "all", "hard": 0.75, "batch_size": 16}
    second = pretrained(tmp_path / "second", monkeypatch, **options)
    assert {len(batch) for batch in seen} == {16}
    assert all((batch % 3 == 1).sum() >= 12 for batch in seen)  # three keyframes an episode
    assert not all((batch % 3 == 1).all() for batch in seen)
    before, after = load_encoder(first), load_encoder(second)
    assert after.facts.training["encoder"] == before.sha256
    changed = {
        name.split(".")[0] for name in before.weights if not torch.equal(before.weights[name], after.weights[name])
    }
    assert {"local", "fusion"} < changed  # and the rest


def test_what_is_lost_is_measured(tmp_path, monkeypatch):
    first = pretrained(tmp_path, monkeypatch)
    found = []
    own = HardRows.__init__

    def init(self, *arguments):
        found.append(arguments)
        own(self, *arguments)

    monkeypatch.setattr(HardRows, "__init__", init)
    pretrained(tmp_path / "second", monkeypatch, encoder=first, part="all", hard=0.5)
    ((_, _, looked_at, lost),) = found
    assert len(looked_at) == len(lost) and lost.mean() > 0.5  # after four steps


def test_bad_settings(tmp_path, monkeypatch):
    for options in ({"hard": 0.5}, {"hard": 1.5, "part": "all"}):
        with pytest.raises(InputError, match="--hard"):
            pretrained(tmp_path, monkeypatch, **options)
