"""The model card says what the runs' own files say."""

import json

import pytest
from made_up import calibrate, config, demonstrations

from model.checkpoint import file_sha256
from train.card import main
from train.config import PretrainConfig
from train.pretrain import pretrain
from train.run import train


@pytest.fixture
def runs(tmp_path, monkeypatch):
    calibrate(monkeypatch)
    settings = PretrainConfig("mock", out=tmp_path / "encoder", steps=4, batch_size=4, warmup=2, threads=1)
    encoder = pretrain(settings, demonstrations(held_out=True))
    policy = train(config(tmp_path, encoder=encoder), demonstrations(held_out=True))
    return policy.parent, encoder.parent


def test_a_card_of_a_policy_and_its_encoder(tmp_path, runs, capsys):
    policy, encoder = runs
    out = tmp_path / "card/README.md"
    assert main(["--policies", f"mine={policy}", "--encoders", str(encoder), "--out", str(out)]) == 0
    text = out.read_text()
    assert str(out) in capsys.readouterr().out
    sha = file_sha256(encoder / "encoder.safetensors")
    assert str(tmp_path) not in text and "encoder encoder" in text  # runs, not the machine's folders
    assert "## mine\n" in text and text.count(f"`{sha}`") == 2  # of the policy's encoder, and of the encoder
    assert f"| sha256 | `{file_sha256(policy / 'checkpoint.safetensors')}` |" in text
    assert "learning_rate 0.0005" in text and "left, right" in text
    last = [json.loads(line) for line in (policy / "metrics.jsonl").read_text().splitlines()][-1]
    row = next(line for line in text.splitlines() if line.startswith("| push_buttons |"))
    assert row.split("|")[2].strip() == f"{last['push_buttons/position_cm']:.2f}"
    steps = text.split("| step |")[1]
    assert "| 4 |" in steps and f"{100 * last['all/gripper']:.0f}" in text


def test_what_is_no_run_is_refused(tmp_path, runs, capsys):
    policy, _ = runs
    out = tmp_path / "card.md"
    for policies, encoders, message in (
        ("mine", str(policy), "name=folder"),
        (f"mine={tmp_path / 'none'}", str(policy), "no checkpoint"),
        (f"mine={policy}", str(policy), "no encoder.safetensors"),
    ):
        assert main(["--policies", policies, "--encoders", encoders, "--out", str(out)]) == 2
        assert message in capsys.readouterr().err
    assert not out.exists()
