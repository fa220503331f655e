"""The training loop: one step, validation, and state that resumes exactly.

All randomness of a step (its rows, augmentation and noise) is a function of the seed and the step's number. So a run
that was interrupted and resumed has the weights of one that was not.
"""

import math
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from model.anchor import OFFSET_UNIT, from_offsets, to_offsets
from model.cameras import project
from model.encoder import pointer_loss
from model.network import Network, NetworkConfig, fresh_network
from model.normalize import Normalizer
from model.objectives.base import Objective
from train.config import TrainConfig
from train.data import TrainingData, augment, step_rows


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then a cosine to `final_share` of the peak at the last step."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return config.learning_rate * (config.final_share + (1 - config.final_share) * cosine)


class Trainer:
    """Weights, averaged weights and optimiser of a run.

    Attributes:
        step: Steps done.
        ema: Network of the averaged weights, the ones that are evaluated and kept.
    """

    def __init__(
        self,
        config: TrainConfig,
        network: NetworkConfig,
        objective: Objective,
        data: TrainingData,
        normalizer: Normalizer,
    ) -> None:
        self.config, self.objective, self.data, self.normalizer = config, objective, data, normalizer
        self.network = fresh_network(network, config.seed).to(config.device)
        self.ema = fresh_network(network, config.seed).to(config.device).eval().requires_grad_(False)
        parameters = list(self.network.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.95), fused=True)
        self.step = 0

    def autocast(self) -> torch.autocast:
        """The arithmetic of the networks."""
        return torch.autocast(
            self.config.device.split(":")[0], torch.bfloat16, enabled=self.config.precision == "bfloat16"
        )

    def train_step(self) -> dict[str, float]:
        """One optimiser step.

        Returns:
            `loss` (the objective's), `gradient_norm`, `learning_rate`, the objective's metrics and, where the cameras
            are calibrated, `pointer` and `point_cm` (cross-entropy of the pointer, median distance of its point to
            the target).

        Raises:
            FloatingPointError: The loss is not finite.
        """
        config = self.config
        rng = torch.Generator().manual_seed(int(np.random.SeedSequence([config.seed, self.step]).generate_state(1)[0]))
        batch = self.data.batch(step_rows(self.step, config.batch_size, len(self.data), config.seed), config.device)
        batch = augment(batch, config.jitter, rng)
        rate = learning_rate(self.step, config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with self.autocast():
            context, encoded = self.network.encode_and_point(batch.observations, batch.embodiment, rng)
            target = to_offsets(batch.target, encoded.anchor, self.normalizer)
            losses = self.objective.loss(self.network.trunk, context, target, batch.mask, rng, self.step / config.steps)
        total, extra = losses.total, {}
        if batch.goal is not None and encoded.point is not None:
            cameras = self.network.config.encoder.cameras
            pointing = pointer_loss(encoded.pointer, project(cameras, batch.observations.tip, batch.goal))
            miss = (encoded.point - batch.goal).norm(dim=-1)
            # Linear far away (a wrong object), quadratic within the offsets' unit.
            meeting = F.smooth_l1_loss(miss / OFFSET_UNIT, torch.zeros_like(miss))
            total = total + config.pointer_weight * (pointing + 0.1 * meeting)
            extra = {"pointer": pointing.item(), "point_cm": 100 * miss.median().item()}
        if not torch.isfinite(total):
            raise FloatingPointError(f"the loss is not finite at step {self.step}; lower --learning-rate")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip)
        self.optimizer.step()
        self._average()
        self.step += 1
        shared = {"loss": losses.total.item(), "gradient_norm": norm.item(), "learning_rate": rate}
        return shared | extra | losses.metrics

    @torch.no_grad()
    def _average(self) -> None:
        # Early on the average is short, so that it does not remember the random start.
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.network.parameters()), 1 - decay)

    def save(self, path: Path) -> None:
        """Writes the whole state atomically."""
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "objective": self.objective.state_dict(),
        }
        partial = path.with_name(path.name + ".partial")
        torch.save(state, partial)
        os.replace(partial, path)

    def load(self, path: Path) -> None:
        """Takes up a saved state."""
        state: dict[str, Any] = torch.load(path, map_location=self.config.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.objective.load_state_dict(state.get("objective", {}))
        self.step = state["step"]


@torch.no_grad()
def validate(
    network: Network, objective: Objective, data: TrainingData, normalizer: Normalizer, trainer: Trainer
) -> dict[str, float]:
    """Errors of one sample an observation, on the first keyframe of the chunk.

    Returns:
        For each task and for "all": `<task>/position_cm` and `<task>/rotation_deg` (medians), `<task>/within_2cm` and
        `<task>/gripper` (shares); with calibrated cameras `all/point_cm`, the median error of the pointer alone.
    """
    rng = torch.Generator().manual_seed(0)
    device, size = trainer.config.device, trainer.config.batch_size
    samples, points = [], []
    for rows in torch.arange(len(data)).split(size):
        batch = data.batch(rows, device)
        with trainer.autocast():
            context, encoded = network.encode_and_point(batch.observations, batch.embodiment)
            chunk = objective.sample(network.trunk, context, 1, rng, data.target.shape[1], batch.mask)[:, 0, 0]
        samples.append(from_offsets(chunk.float(), encoded.anchor, normalizer).cpu())
        if encoded.point is not None:
            points.append(encoded.point.cpu())
    errors = action_errors(torch.cat(samples), data.target[:, 0], data.task, normalizer)
    if points and data.goal is not None:
        errors["all/point_cm"] = 100 * (torch.cat(points) - data.goal).norm(dim=-1).median().item()
    return errors


def action_errors(samples: Tensor, target: Tensor, task: list[str], normalizer: Normalizer) -> dict[str, float]:
    """Errors of internal vectors [N, 128] in units of the world; see `validate`."""
    made, true = normalizer.to_action(samples.numpy()), normalizer.to_action(target.numpy())
    position = 100 * np.linalg.norm(made[:, :3] - true[:, :3], axis=1)
    cosine = np.abs((made[:, 3:7] * true[:, 3:7]).sum(1)).clip(0, 1)
    rotation = np.degrees(2 * np.arccos(cosine))
    gripper = (made[:, 7] > 0.5) == (true[:, 7] > 0.5)
    rows: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(task):
        rows[name].append(row)
    rows = {"all": list(range(len(task)))} | dict(sorted(rows.items()))
    errors = {}
    for name, mine in rows.items():
        errors[f"{name}/position_cm"] = float(np.median(position[mine]))
        errors[f"{name}/rotation_deg"] = float(np.median(rotation[mine]))
        errors[f"{name}/within_2cm"] = float((position[mine] < 2).mean())
        errors[f"{name}/gripper"] = float(gripper[mine].mean())
    return errors
