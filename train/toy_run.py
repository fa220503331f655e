"""Training and judging one objective on the toy task: real trunk, real objective, a two-layer encoder."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.network import parameter_count
from model.objectives import Objective, load_objective
from model.trunk import Context, Trunk, TrunkConfig
from train import toy_task
from train.config import TrainConfig
from train.loop import learning_rate

OBJECTIVES = ("drifting", "diffusion", "flow", "cimle", "mse", "hybrid_queue")
SAMPLERS = {"diffusion": (100, 10), "flow": (10, 1)}  # forward passes to evaluate with; else the objective's own


@dataclass(frozen=True)
class ToySettings:
    """What is the same for all objectives.

    Attributes:
        steps: Optimiser steps.
        batch_size: Observations a step, each with one chunk.
        learning_rate: Peak of the learning rate.
        width: Of the trunk.
        blocks: Of the trunk.
        scenes: Held-out observations to judge on.
        samples: Chunks drawn for each of them.
    """

    steps: int = 500
    batch_size: int = 64
    learning_rate: float = 2e-3
    width: int = 64
    blocks: int = 2
    scenes: int = 64
    samples: int = 16

    def training(self, objective: str, seed: int) -> TrainConfig:
        """As settings of `train.loop`."""
        return TrainConfig(
            "toy",
            objective=objective,
            steps=self.steps,
            batch_size=self.batch_size,
            horizon=toy_task.HORIZON,
            learning_rate=self.learning_rate,
            warmup=max(1, self.steps // 20),
            ema=0.99,
            seed=seed,
            precision="float32",
        )


class ToyNetwork(nn.Module):
    """Two layers from the observation to one context token, and the trunk."""

    def __init__(self, objective: Objective, settings: ToySettings) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 32))
        self.trunk = Trunk(
            TrunkConfig(
                context_dim=32,
                input_dim=objective.input_dim or TrunkConfig.input_dim,
                horizon=toy_task.HORIZON,
                width=settings.width,
                blocks=settings.blocks,
                heads=4,
                ffn=settings.width * 8 // 3,
                cross_layers=1,
                cross_ffn=settings.width // 2,
                time_embedding=objective.time_embedding,
            )
        )

    def encode(self, observation: Tensor) -> Context:
        """Context of observations [B, 2]."""
        tokens = self.encoder(observation)[:, None]
        embodiment = torch.zeros(len(tokens), dtype=torch.long)
        return self.trunk.prepare(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool), embodiment)


def train(name: str, seed: int, settings: ToySettings, progress: Callable[[int], None]) -> tuple[Objective, ToyNetwork]:
    """Trains one objective.

    Args:
        name: Objective.
        seed: Of weights, data and noise.
        settings: Sizes and steps.
        progress: Called with the steps done.

    Returns:
        The objective and the network with averaged weights.
    """
    objective, config = load_objective(name), settings.training(name, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ToyNetwork(objective, settings)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.95), weight_decay=config.weight_decay, fused=True)
    rng, data = torch.Generator().manual_seed(seed), np.random.default_rng((1, seed))
    mask = toy_task.slot_mask().expand(config.batch_size, config.horizon, -1)
    for step in range(config.steps):
        scenes, chunks = toy_task.demonstrations(config.batch_size, data)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        context, target = network.encode(scenes.tensor), toy_task.to_slots(chunks)[:, None]
        loss = objective.loss(network.trunk, context, target, mask, rng, step / config.steps).total
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimizer.step()
        decay = min(config.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
        progress(step + 1)
    return objective, average


@torch.inference_mode()
def evaluate(objective: Objective, network: ToyNetwork, settings: ToySettings, seed: int) -> dict[str, Any]:
    """Judges samples on held-out scenes.

    Returns:
        `valid`, the share of valid samples; `both_modes`, the share of scenes with valid samples on both sides;
        `minority`, the rarer side's share of all valid samples; `nfe`, `sampler`, `parameters`; `picture`, waypoints of
        one scene.
    """
    scenes = toy_task.random_scenes(settings.scenes, np.random.default_rng((2, seed)))
    scenes.disc[:1], scenes.goal[:1] = toy_task.picture_scene()
    rng = torch.Generator().manual_seed(seed)
    context = network.encode(scenes.tensor)
    slots = objective.sample(network.trunk, context, settings.samples, rng, toy_task.HORIZON, toy_task.slot_mask())
    chunks = toy_task.from_slots(slots)
    valid, left = toy_task.judge(scenes, chunks)
    sides = np.array([(valid & left).sum(), (valid & ~left).sum()])
    return {
        "nfe": objective.nfe,
        "sampler": objective.sampler,
        "valid": round(float(valid.mean()), 4),
        "both_modes": round(float(((valid & left).any(1) & (valid & ~left).any(1)).mean()), 4),
        "minority": round(float(sides.min() / max(sides.sum(), 1)), 4),
        "parameters": parameter_count(network),
        "picture": chunks[0].round(3).tolist(),
    }


def run(name: str, seed: int, settings: ToySettings, progress: Callable[[int], None]) -> list[dict[str, Any]]:
    """Trains an objective and evaluates it with each of its samplers; an entry each."""
    objective, network = train(name, seed, settings, progress)
    return [
        {"objective": name, "seed": seed} | evaluate(objective.with_nfe(nfe), network, settings, seed)
        for nfe in SAMPLERS.get(name, (objective.nfe,))
    ]
