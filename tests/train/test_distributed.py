"""Two processes, started by torchrun, that train together."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_up import config, demonstrations

from envs.spec import InputError
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
from model.objectives import mse
from train import loop, run, trainers

noise = mse.noise_chunk  # drawn by each process for itself
mse.noise_chunk = lambda *args: torch.zeros_like(noise(*args))
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
gradients = []
norms = loop.Trainer._gradient_norms
def copied(self):
    gradients.append(torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten()
                                for p in self.parameters]))
    return norms(self)
loop.Trainer._gradient_norms = copied
out, accumulate = Path(sys.argv[1]), int(sys.argv[2])
settings = replace(config(out), objective="mse", precision="float32", jitter=0.0, steps=3, accumulate=accumulate)
run.train(replace(settings, validate_every=2), demonstrations(held_out=True))
weights = torch.cat([p.detach().flatten() for p in made[0].network.parameters()])
found = {"rows": seen, "weights": weights, "gradient": gradients[0]}
torch.save(found, out / f"rank{made[0].world.rank}.pt")
"""


@pytest.mark.slow
def test_two_processes_share_a_batch_and_stay_alike(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = HERE.parents[1]
    environment = {"PYTHONPATH": f"{root}:{HERE}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}

    def start(*command):
        call = [sys.executable, *command]
        done = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]

    # Three steps: by two processes in two pieces each, and by one at once.
    start("-m", "torch.distributed.run", "--nproc-per-node", "2", str(script), str(tmp_path), "2")
    start(str(script), str(tmp_path / "alone"), "1")
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2))
    alone = torch.load(tmp_path / "alone/rank0.pt")
    assert [len(rows) for rows in first["rows"]] == [1] * 6
    for step, rows in enumerate(alone["rows"]):
        shared = [row for process in (first, second) for k in range(2) for row in process["rows"][2 * step + k]]
        assert sorted(shared) == sorted(rows)
    assert torch.equal(first["gradient"], second["gradient"])
    assert (first["gradient"] - alone["gradient"]).norm() < 1e-4 * alone["gradient"].norm()
    assert torch.equal(first["weights"], second["weights"])
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [2, 3]  # the main process alone writes
    assert load_checkpoint(tmp_path / "run/checkpoint.safetensors", "mse").facts.training["step"] == 3


def test_more_pieces_than_a_process_has_observations_are_refused(tmp_path, monkeypatch):
    settings = config(tmp_path, batch_size=4, accumulate=3, steps=1)
    monkeypatch.setattr(World, "join", lambda device: World(0, 2))
    with pytest.raises(InputError, match="--accumulate 3 pieces do not fit the 2 observations"):
        train(settings, demonstrations())
    assert not settings.folder.exists()
    monkeypatch.setattr(World, "join", lambda device: World())
    train(settings, demonstrations())  # alone it has all four


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
