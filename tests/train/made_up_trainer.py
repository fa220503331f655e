"""A trainer of two tiny layers, for tests of what goes on around the steps."""

import json
from pathlib import Path

import torch
from torch import nn

from train.data import TrainingData
from train.loop import Trainer
from train.session import run_session


def made_up_data(count: int = 16, size: int = 8, calibrated: bool = False) -> TrainingData:
    """Frames with random targets; views of 8 pixels."""
    rng = torch.Generator().manual_seed(0)
    return TrainingData(
        images=torch.randint(0, 256, (count, 2, size, size, 3), dtype=torch.uint8, generator=rng),
        proprioception=torch.randn(count, 3, generator=rng),
        words=torch.zeros(count, 1, dtype=torch.int64),
        target=torch.randn(count, 1, 128, generator=rng),
        mask=torch.ones(128, dtype=torch.bool),
        tip=torch.zeros(count, 7),
        goal=torch.zeros(count, 3) if calibrated else None,
        embodiment=0,
        task=["reach"] * count,
    )


class TinyTrainer(Trainer):
    """Guesses the first numbers of the target from proprioception with noise."""

    def __init__(self, config) -> None:
        torch.manual_seed(0)
        network = nn.ModuleDict({"encoder": nn.Linear(3, 4), "trunk": nn.Linear(4, 3)})
        super().__init__(config, network, made_up_data())

    def losses(self, rows, rng):
        batch = self.batch(rows, rng)
        state = batch.observations.proprioception
        guess = self.network["trunk"](self.network["encoder"](state + torch.randn(state.shape, generator=rng)))
        loss = (guess - batch.target[:, 0, 0, :3]).square().mean()
        return loss, {"loss": loss.item()}

    def validate(self, data):
        state = self.ema["trunk"](self.ema["encoder"](data.proprioception))
        return {"all/error": (state - data.target[:, 0, :3]).square().mean().item()}


def run(config, rollouts=None, trainer=TinyTrainer) -> Trainer:
    """A session; weights for use go to weights.pt."""
    made = trainer(config)
    run_session(made, lambda: torch.save(made.ema.state_dict(), config.folder / "weights.pt"), made_up_data(), rollouts)
    return made


def entries(folder: Path, kind: str = "train") -> list[dict]:
    """Entries of metrics.jsonl of a kind."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]
