"""The training loop: one step, and state that resumes exactly. What is trained is a subclass's.

All randomness of a step (its rows, augmentation and noise) is a function of the seed and the step's number. So a run
that was interrupted and resumed has the weights of one that was not.
"""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from envs.spec import InputError
from train.config import LoopConfig
from train.data import TrainingData, augment, step_rows
from train.distributed import World


def learning_rate(step: int, config: LoopConfig) -> float:
    """Linear warm-up, then a cosine to `final_share` of the peak at the last step."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return config.learning_rate * (config.final_share + (1 - config.final_share) * cosine)


class _Losses(nn.Module):
    """A trainer's losses as a module, which several processes need to average gradients."""

    def __init__(self, trainer: "Trainer") -> None:
        super().__init__()
        self.network = trainer.network
        self._compute = trainer.losses

    def forward(self, rows: Tensor, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        return self._compute(rows, rng)


class Trainer(ABC):
    """Weights, averaged weights and optimiser of a run.

    Attributes:
        network: What is trained.
        ema: The same with averaged weights, the ones that are evaluated and kept.
        step: Steps done.
        world: The processes that train together.
        device: Of this process.
    """

    def __init__(self, config: LoopConfig, network: nn.Module, data: TrainingData) -> None:
        self.config, self.data = config, data
        self.world = World.join(config.device)
        share = config.batch_size // self.world.size
        if config.accumulate > share:
            raise InputError(
                f"--accumulate {config.accumulate} pieces do not fit the {share} observations a step of each of "
                f"{self.world.size} processes. Take fewer pieces, or a larger --batch-size."
            )
        self.device = self.world.device(config.device)
        self.network = network.to(self.device)
        self.ema = deepcopy(self.network).eval().requires_grad_(False)
        pairs = zip(self.network.parameters(), self.ema.parameters(), strict=True)
        self._pairs = [(new, average) for new, average in pairs if new.requires_grad]
        self.parameters: list[Tensor] = [new for new, _ in self._pairs]
        groups = [
            {"params": [p for p in part if (p.ndim >= 2) == matrix], "weight_decay": decay, "part": name}
            for name, part in self.parts().items()
            for matrix, decay in ((True, config.weight_decay), (False, 0.0))
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.95), fused=True)
        self.step = 0
        self._losses = self.world.wrap(_Losses(self))

    @abstractmethod
    def losses(self, rows: Tensor, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """What to differentiate for some rows of the data, and numbers for the log (`loss` among them)."""

    @abstractmethod
    def validate(self, data: TrainingData) -> dict[str, float]:
        """Errors of the averaged weights on held-out data."""

    def parts(self) -> dict[str, Sequence[Tensor]]:
        """Parameters by the learning rate they follow."""
        return {"": self.parameters}

    def rate(self, part: str = "") -> float:
        """Learning rate of a part at this step."""
        return learning_rate(self.step, self.config)

    def extra_state(self) -> dict[str, Any]:
        """State beside weights and optimiser that a resumption needs."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:  # noqa: B027 - most trainers have none
        """Takes up `extra_state`."""

    def autocast(self) -> torch.autocast:
        """The arithmetic of the networks."""
        return torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.config.precision == "bfloat16")

    def rows(self) -> Tensor:
        """Rows of this step's batch, of all processes together."""
        return step_rows(self.step, self.config.batch_size, len(self.data), self.config.seed)

    def batch(self, rows: Tensor, rng: torch.Generator) -> Any:
        """Rows of the data on the device, augmented."""
        return augment(self.data.batch(rows, self.device), self.config.jitter, rng, self.config.crop)

    def train_step(self) -> dict[str, float]:
        """One optimiser step.

        Returns:
            `gradient_norm` (before clipping; also of the encoder, the trunk, ... as `<part>/gradient_norm`),
            `learning_rate` and what `losses` gives.

        Raises:
            FloatingPointError: The loss is not finite.
        """
        config = self.config
        source = np.random.SeedSequence([config.seed, self.step, *([self.world.rank] if self.world.rank else [])])
        rng = torch.Generator().manual_seed(int(source.generate_state(1)[0]))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(group["part"])
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        mine = self.world.mine(self.rows())
        pieces = mine.tensor_split(config.accumulate)
        for k, rows in enumerate(pieces):
            share = len(rows) / len(mine)
            with self.world.together(self._losses, k == len(pieces) - 1):
                total, metrics = self._losses(rows, rng)
                if not torch.isfinite(total):
                    raise FloatingPointError(f"the loss is not finite at step {self.step}; lower --learning-rate")
                (total * share).backward()
            for name, value in metrics.items():
                sums[name] = sums.get(name, 0.0) + share * value
        sums |= self._gradient_norms()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, config.clip)
        self.optimizer.step()
        self._average()
        rate = self.rate()
        self.step += 1
        return sums | {"gradient_norm": norm.item(), "learning_rate": rate}

    def _gradient_norms(self) -> dict[str, float]:
        norms = {}
        for name, part in self.network.named_children():
            gradients = [p.grad for p in part.parameters() if p.grad is not None]
            if gradients:
                norms[f"{name}/gradient_norm"] = torch.nn.utils.get_total_norm(gradients).item()
        return norms

    @torch.no_grad()
    def _average(self) -> None:
        # Early on the average is short, so that it does not remember the random start.
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_([average for _, average in self._pairs], self.parameters, 1 - decay)

    def save(self, path: Path) -> None:
        """Writes the whole state atomically."""
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "extra": self.extra_state(),
        }
        partial = path.with_name(path.name + ".partial")
        torch.save(state, partial)
        os.replace(partial, path)

    def load(self, path: Path) -> None:
        """Takes up a saved state."""
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.load_extra_state(state["extra"])
        self.step = state["step"]
