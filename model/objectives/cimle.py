"""Nearest-of-G regression: conditional implicit maximum likelihood estimation.

Sources: IMLE, arXiv:1809.09087, section 3; its conditional form, arXiv:1811.12373, algorithm 1; on robots, IMLE
Policy, arXiv:2502.12371. For every valid chunk, G samples are drawn and only the nearest of them is pulled to it: each
mode gets some samples of its own, and no sample is pulled to the average of two modes.
"""

import torch
from torch import Tensor

from model.objectives.base import Losses, OnePass, check_positive, masked_mean, noise_chunk, sample_metrics
from model.trunk import Context, Trunk


class NearestOfG(OnePass):
    """One forward pass a sample, like drifting; the nearest sample regresses, the others get no gradient.

    Args:
        samples: G, samples of each observation to choose from.
    """

    name = "cimle"

    def __init__(self, samples: int = 8) -> None:
        self.samples = samples
        check_positive(self)

    def loss(
        self,
        trunk: Trunk,
        context: Context,
        target: Tensor,
        mask: Tensor,
        rng: torch.Generator,
        progress: float = 1.0,
    ) -> Losses:
        """See `Objective.loss`. Distances are over the active slots of the whole chunk. Metrics: `sample_metrics`."""
        samples = trunk(noise_chunk(trunk, context, self.samples, rng, target.shape[-2]), context)
        with torch.no_grad():
            difference = (samples[:, :, None] - target[:, None]) * mask[:, None, None]
            nearest = difference.square().sum((-2, -1)).argmin(1)  # [B, P]
        chosen = samples[torch.arange(len(samples), device=samples.device)[:, None], nearest]
        total = masked_mean((chosen - target).square(), mask)
        return Losses(total, sample_metrics(samples.detach(), target, mask))
