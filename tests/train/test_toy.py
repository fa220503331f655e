"""The bimodal gate: its task, its judge, a short run of it, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from train import toy, toy_report, toy_task
from train.toy_run import OBJECTIVES, ToySettings, run, train

COMMITTED = Path(__file__).resolve().parents[2] / "results/toy/gate.json"


def scenes(count=50, seed=0):
    return toy_task.random_scenes(count, np.random.default_rng(seed))


@pytest.mark.parametrize("height", [*toy_task.HEIGHT, -toy_task.HEIGHT[0], -toy_task.HEIGHT[1]])
def test_experts_are_valid_on_either_side_and_their_average_is_not(height):
    here = scenes()
    chunks = [toy_task.expert(here, np.full(50, h)) for h in (height, -height)]
    judged = toy_task.judge(here, np.stack([*chunks, (chunks[0] + chunks[1]) / 2], axis=1))
    assert judged.valid[:, :2].all() and not judged.valid[:, 2].any()
    assert (judged.left[:, 0] == (height > 0)).all() and (judged.left[:, 1] == (height < 0)).all()


def test_demonstrations_show_one_manoeuvre_each_and_both_as_often():
    here, chunks = toy_task.demonstrations(400, np.random.default_rng(0))
    valid, left = toy_task.judge(here, chunks[:, None])
    assert valid.all() and 160 < left.sum() < 240
    slots = toy_task.to_slots(chunks)[..., toy_task.slot_mask()]
    assert slots.mean((0, 1)).abs().max() < 0.1 and (slots.std((0, 1)) - 1).abs().max() < 0.25
    assert here.tensor.abs().max() <= 1


def test_collisions_are_found_between_waypoints():
    """Against points sampled densely on the way."""
    rng = np.random.default_rng(1)
    here = scenes(40, 1)
    chunks = np.stack([toy_task.expert(here, rng.uniform(-0.38, 0.38, 40)) for _ in range(10)], axis=1)
    chunks[..., 1] += rng.normal(0, 0.03, chunks[..., 1].shape)
    chunks[..., -1, :] = np.stack([np.ones(40), here.goal], axis=-1)[:, None]
    valid = toy_task.judge(here, chunks).valid
    seen = {True: 0, False: 0}
    for n in range(40):
        for k in range(10):
            way = np.concatenate([np.zeros((1, 2)), chunks[n, k]])
            at = np.linspace(0, 8, 4001)
            dense = np.stack([np.interp(at, np.arange(9), way[:, axis]) for axis in range(2)], axis=-1)
            distance = np.linalg.norm(dense - [here.disc[n], here.disc[n] * here.goal[n]], axis=-1).min()
            if abs(distance - toy_task.RADIUS) > 1e-3:
                assert valid[n, k] == (distance > toy_task.RADIUS)
                seen[bool(valid[n, k])] += 1
    assert min(seen.values()) > 20


def test_missing_the_goal_and_detours_are_invalid():
    here = scenes(1)
    good = toy_task.expert(here, np.array([0.35]))
    short, shaken = good.copy(), good.copy()
    short[:, -1, 0] -= 0.11
    shaken[:, ::2, 1] += 0.2
    assert toy_task.judge(here, np.stack([good, short, shaken], axis=1)).valid.tolist() == [[True, False, False]]


def test_slots_hold_the_waypoints():
    chunks = toy_task.expert(scenes(3), np.full(3, 0.35))
    slots = toy_task.to_slots(chunks)
    assert slots.shape == (3, 8, 128) and not slots[..., ~toy_task.slot_mask()].any()
    assert np.allclose(toy_task.from_slots(slots), chunks, atol=1e-6)


SHORT = ToySettings(steps=300, width=32, blocks=1, learning_rate=4e-3, scenes=32)


@pytest.mark.slow
def test_the_gate_in_short():
    """Small and not trained to the end: drifting finds both ways, what averages finds none."""
    results = {(e["objective"], e["nfe"]): e for name in ("drifting", "flow", "mse") for e in run(name, 0, SHORT, str)}
    assert results["drifting", 1]["valid"] > 0.5 and results["drifting", 1]["both_modes"] > 0.9
    assert results["flow", 10]["valid"] > 0.8 and results["flow", 10]["both_modes"] > 0.9
    assert results["flow", 1]["valid"] < 0.05 and results["mse", 1]["valid"] < 0.05


def test_trainings_come_from_their_seed_and_report_every_step():
    steps, tiny = [], ToySettings(steps=3, width=16, blocks=1, batch_size=4)
    weights = [dict(train("drifting", seed, tiny, steps.append)[1].named_parameters()) for seed in (0, 0, 1)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(weights[0]["trunk.head.0.weight"], weights[2]["trunk.head.0.weight"])
    assert steps == [1, 2, 3] * 3


def entry(objective, nfe, seed, valid, both):
    sampler = "one pass" if nfe == 1 else f"Euler-{nfe}"
    fields = {"sampler": sampler, "valid": valid, "both_modes": both, "minority": 0.5}
    return {"objective": objective, "nfe": nfe, "seed": seed} | fields


def test_verdict_needs_drifting_on_every_seed_and_averages_to_fail():
    good = [entry("drifting", 1, 0, 0.9, 1.0), entry("flow", 1, 0, 0.02, 0.0), entry("mse", 1, 0, 0.0, 0.0)]
    assert toy_report.verdict([*good, entry("flow", 10, 0, 0.97, 1.0), entry("cimle", 1, 0, 0.6, 1.0)]) == []
    for bad in (
        entry("drifting", 1, 1, 0.84, 1.0),
        entry("drifting", 1, 1, 0.9, 0.9),
        entry("mse", 1, 1, 0.6, 0.0),
        entry("flow", 1, 1, 0.6, 1.0),
    ):
        (line,) = toy_report.verdict([*good, bad])
        assert bad["objective"] in line and "seed 1" in line


def test_table_shows_mean_and_worst_seed():
    rows = toy_report.table([entry("drifting", 1, 0, 0.9, 1.0), entry("drifting", 1, 1, 0.8, 0.9)]).splitlines()
    assert rows[2] == "| drifting | one pass | 1 | 2 | 0.850 | 0.800 | 0.950 | 0.900 | 0.50 |"


@pytest.fixture
def command(tmp_path):
    def call(*more, objectives=("mse", "flow"), seeds=1, steps=2):
        args = ["--objectives", *objectives, "--seeds", seeds, "--steps", steps, "--out", tmp_path / "toy", *more]
        return toy.main([str(arg) for arg in args])

    return call


def test_interrupted_gate_goes_on_with_what_is_missing(command, tmp_path, monkeypatch, capsys):
    ran, original = [], toy.run

    def interrupted(name, seed, *rest):
        ran.append((name, seed))
        if len(ran) == 3:
            raise KeyboardInterrupt
        return original(name, seed, *rest)

    monkeypatch.setattr(toy, "run", interrupted)
    assert command(seeds=2) == 130
    assert "goes on" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "toy/gate.json").read_text())["entries"]) == 3
    assert command(seeds=2) == 0
    assert ran == [("mse", 0), ("flow", 0), ("mse", 1), ("mse", 1), ("flow", 1)]
    assert "2 of 4 trainings are in" in capsys.readouterr().out
    parts = (tmp_path / "toy/gate.json").read_text()
    assert (tmp_path / "toy/gate.png").stat().st_size > 5000
    for name in ("gate.json", "gate.png"):
        (tmp_path / "toy" / name).unlink()
    assert command(seeds=2) == 0
    assert (tmp_path / "toy/gate.json").read_text() == parts
    results = json.loads(parts)["entries"]
    assert [(e["objective"], e["nfe"], e["seed"]) for e in results] == [
        ("flow", 10, 0),
        ("flow", 10, 1),
        ("flow", 1, 0),
        ("flow", 1, 1),
        ("mse", 1, 0),
        ("mse", 1, 1),
    ]


def test_failed_gate_exits_with_1(command, capsys):
    assert command(objectives=["drifting"]) == 1
    out = capsys.readouterr().out
    assert "gate failed" in out and "needs 0.85" in out


def test_mistakes_exit_with_2_and_write_nothing(command, tmp_path, capsys):
    assert command(objectives=["drifitng"]) == 2 and "drifting" in capsys.readouterr().err
    assert command(seeds=0) == 2
    assert not (tmp_path / "toy").exists()
    assert command(objectives=["mse"]) == 0
    before = (tmp_path / "toy/gate.json").read_text()
    assert command(objectives=["mse"], steps=3) == 2 and "another --out" in capsys.readouterr().err
    assert (tmp_path / "toy/gate.json").read_text() == before
    (tmp_path / "toy/gate.json").write_text("{}")
    assert command() == 2 and "another --out" in capsys.readouterr().err


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit):
        toy.main(["--help"])
    assert "python -m train.toy --objectives drifting mse --seeds 1" in capsys.readouterr().out


def test_committed_results_are_complete_and_pass():
    results = json.loads(COMMITTED.read_text())
    entries = results["entries"]
    assert results["settings"] == json.loads(json.dumps(vars(ToySettings())))
    assert {(e["objective"], e["seed"]) for e in entries} == {(name, seed) for name in OBJECTIVES for seed in range(3)}
    assert toy_report.verdict(entries) == []
