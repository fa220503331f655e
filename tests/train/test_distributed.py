"""Two processes, started by torchrun, that train together."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_up import config, demonstrations

from model.checkpoint import load_checkpoint
from train.distributed import World
from train.run import train

HERE = Path(__file__).parent
SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from made_up import config, demonstrations
from train import run, trainers

seen = []
original = trainers.PolicyTrainer.losses
def watched(self, rows, rng):
    seen.append(rows.tolist())
    return original(self, rows, rng)
trainers.PolicyTrainer.losses = watched
made = []
begin = trainers.PolicyTrainer.__init__
def kept(self, *args, **named):
    begin(self, *args, **named)
    made.append(self)
trainers.PolicyTrainer.__init__ = kept
out = Path(sys.argv[1])
run.train(replace(config(out), steps=3, accumulate=2, validate_every=2), demonstrations(held_out=True))
weights = torch.cat([p.detach().flatten() for p in made[0].network.parameters()])
torch.save({"rows": seen, "weights": weights}, out / f"rank{made[0].world.rank}.pt")
"""


@pytest.mark.slow
def test_two_processes_share_a_batch_and_stay_alike(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = HERE.parents[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(script), str(tmp_path)]
    environment = {"PYTHONPATH": f"{root}:{HERE}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2))
    assert torch.equal(first["weights"], second["weights"])
    # Three steps in two pieces each: every observation of a batch in one process only.
    assert [len(rows) for rows in first["rows"]] == [1] * 6
    for a, b in zip(first["rows"], second["rows"], strict=True):
        assert not set(a) & set(b)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [2, 3]  # the main process alone writes
    alone = load_checkpoint(train(config(tmp_path, out=tmp_path / "alone", steps=3), demonstrations()))
    together = load_checkpoint(tmp_path / "run/checkpoint.safetensors")
    assert alone.sha256 != together.sha256  # other noise, but the same network and steps
    assert together.facts.training["step"] == 3


def test_a_process_alone_needs_no_others(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    world = World.join("cpu")
    module = torch.nn.Linear(1, 1)
    assert world == World() and world.main and world.wrap(module) is module
    assert world.any(True) and not world.any(False)
    assert world.mine(torch.arange(5)).tolist() == [0, 1, 2, 3, 4]


def test_batches_are_split_without_loss():
    rows = torch.arange(7)
    assert torch.cat([World(rank, 3).mine(rows) for rank in range(3)]).equal(rows)


def test_every_process_takes_a_gpu_of_its_own():
    assert World(1, 2, local_rank=1).device("cuda") == "cuda:1"
    assert World().device("cuda") == "cuda" and World(1, 2, 1).device("cpu") == "cpu"
