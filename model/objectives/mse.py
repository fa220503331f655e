"""Regression, the control: the same one-step forward pass as drifting, trained on the squared error.

It averages over the valid answers of an observation. Where it ties with drifting, the data have one answer.
"""

import torch
from torch import Tensor

from model.objectives.base import Losses, Objective, noise_chunk, sample_metrics
from model.trunk import Context, Trunk


class MeanSquaredError(Objective):
    """Mean squared error of one sample an observation; the noise input stays, and training learns to ignore it."""

    name = "mse"

    def loss(
        self,
        trunk: Trunk,
        context: Context,
        target: Tensor,
        mask: Tensor,
        rng: torch.Generator,
        progress: float = 1.0,
    ) -> Losses:
        """See `Objective.loss`. With several positives, their mean squared error."""
        samples = trunk(noise_chunk(trunk, context, 1, rng, target.shape[-2]), context)
        weight = mask[:, None].float()
        error = (samples - target).square() * weight
        total = error.sum() / (weight.sum() * target.shape[1]).clamp(min=1)
        return Losses(total, sample_metrics(samples, target, mask))

    def sample(
        self,
        trunk: Trunk,
        context: Context,
        n: int,
        rng: torch.Generator,
        horizon: int | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """See `Objective.sample`."""
        return trunk(noise_chunk(trunk, context, n, rng, horizon), context)
