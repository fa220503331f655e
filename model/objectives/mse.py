"""Regression, the control: the same one-step forward pass as drifting, trained on the squared error.

It averages over the valid answers of an observation. Where it ties with drifting, the data have one answer.
"""

import torch
from torch import Tensor

from model.objectives.base import Losses, OnePass, masked_mean, noise_chunk, sample_metrics
from model.trunk import Context, Trunk


class MeanSquaredError(OnePass):
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
        total = masked_mean((samples - target).square(), mask)
        return Losses(total, sample_metrics(samples, target, mask))
