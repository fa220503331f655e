"""Regression plus a drifting term whose targets come from queues over past batches: the project's specification.

Source of the field: Generative Modeling via Drifting, arXiv:2602.04770, algorithm 2. What the specification fixes:

* s_ij = -||x_i - y_j|| / tau, k = sqrt(softmax_j(s) softmax_i(s)), tau in {.02, .05, .2}, fields summed over tau. The
  softmaxes run over all targets j, negatives and positives jointly, and over the batch's samples i.
* Features are scaled so that the mean distance of a sample and a target is sqrt(D), D active numbers a chunk. tau is
  not scaled with it.
* One normalisation of the summed field: E ||V||^2 / D = 1.
* Loss = MSE + 0.1 * drift, both over active slots only.
* Positives: 256 drawn from the 2 048 newest expert chunks, this batch's included. Negatives: the 2 048 newest past
  predictions where the batch is under 1 024, else (and at the first step) the batch itself, each sample without itself.

The specification leaves open how attraction and repulsion meet. As in the paper, each is weighted by the mass of the
other: V_i = sum_j k+_ij K-_i (y+_j - x_i) - sum_j k-_ij K+_i (y-_j - x_i), with K the sums over j of k.

A queue mixes observations: it teaches which chunks occur, not which one fits an observation. Use `drifting`.
Shapes: B samples, P positives, N negatives, S numbers a chunk.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from model.objectives.base import Losses, OnePass, check_positive, masked_mean, noise_chunk, sample_metrics
from model.objectives.row_queue import RowQueue
from model.trunk import Context, Trunk

_FAR = 1e6  # added to the distance of a sample to itself


@torch.no_grad()
def field(
    x: Float[Tensor, "B S"],
    positives: Float[Tensor, "P S"],
    negatives: Float[Tensor, "N S"] | None,
    mask: Bool[Tensor, "B S"],
    taus: Sequence[float] = (0.02, 0.05, 0.2),
) -> tuple[Float[Tensor, "B S"], Float[Tensor, ""], Float[Tensor, ""]]:
    """The normalised field in scaled coordinates.

    Args:
        x: Samples, one an observation.
        positives: Chunks to move to; zero in their inactive slots.
        negatives: Chunks to move away from, likewise; None for the samples themselves.
        mask: Numbers of x that count.
        taus: Kernel temperatures.

    Returns:
        The field at x / unit, zero in inactive slots; the unit; the RMS of the field before it was normalised.
    """
    x = x.float() * mask
    own = negatives is None
    targets = torch.cat([x if negatives is None else negatives, positives])
    split = [len(targets) - len(positives), len(positives)]
    # Most of the 128 slots are in no chunk: leave them out.
    used = mask.any(0) | (targets != 0).any(0)
    x, targets, mask = x[:, used], targets[:, used], mask[:, used]
    # The direct formula: the one by inner products loses the digits of small distances.
    distance = torch.cdist(x, targets, compute_mode="donot_use_mm_for_euclid_dist")
    pairs = torch.ones_like(distance)
    if own:
        pairs.fill_diagonal_(0.0)
    size = mask.sum(1).float().mean().clamp(min=1)
    unit = ((distance * pairs).sum() / pairs.sum().clamp(min=1) / size.sqrt()).clamp(min=1e-6)
    x, targets, distance = x / unit, targets / unit, distance / unit + _FAR * (1 - pairs)
    total = torch.zeros_like(x)
    for tau in taus:
        score = -distance / tau
        # The root taken in the exponent: far pairs would underflow otherwise.
        kernel = (0.5 * (score.log_softmax(1) + score.log_softmax(0))).exp()
        repel, attract = kernel.split(split, dim=1)
        weight = torch.cat([-repel * attract.sum(1, keepdim=True), attract * repel.sum(1, keepdim=True)], dim=1)
        total += weight @ targets - weight.sum(1, keepdim=True) * x
    total *= mask
    rms = (total.square().sum() / mask.sum().clamp(min=1)).sqrt()
    drift = total.new_zeros(len(x), len(used))
    drift[:, used] = total / rms.clamp(min=1e-12)
    return drift, unit, rms


class HybridQueue(OnePass):
    """See the head of this file. Its queues are part of the training state.

    Args:
        taus: Kernel temperatures.
        drift_weight: Weight of the drifting term.
        queue: Rows of each queue.
        drawn: Positives drawn a step.
        large_batch: From this number of observations on the batch itself is the negatives.
    """

    name = "hybrid_queue"

    def __init__(
        self,
        taus: tuple[float, ...] = (0.02, 0.05, 0.2),
        drift_weight: float = 0.1,
        queue: int = 2048,
        drawn: int = 256,
        large_batch: int = 1024,
    ) -> None:
        self.taus = tuple(taus)
        self.drift_weight = drift_weight
        self.queue = queue
        self.drawn = drawn
        self.large_batch = large_batch
        check_positive(self)
        self._experts, self._predictions = RowQueue(queue), RowQueue(queue)

    def state_dict(self) -> dict[str, Any]:
        """Both queues."""
        return {"experts": self._experts.state_dict(), "predictions": self._predictions.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Objective.load_state_dict`."""
        self._experts.load_state_dict(state["experts"])
        self._predictions.load_state_dict(state["predictions"])

    def loss(
        self,
        trunk: Trunk,
        context: Context,
        target: Tensor,
        mask: Tensor,
        rng: torch.Generator,
        progress: float = 1.0,
    ) -> Losses:
        """See `Objective.loss`. Metrics: `mse`, `drift`, `unit`, `force` (RMS of the raw field), `sample_metrics`."""
        samples = trunk(noise_chunk(trunk, context, 1, rng, target.shape[-2]), context)
        with torch.autocast(samples.device.type, enabled=False):
            samples = samples.float()
            error = masked_mean((samples - target).square(), mask)
            active = mask.flatten(1)
            x = samples[:, 0].flatten(1)
            self._experts.push((target * mask[:, None]).flatten(0, 1).flatten(1))
            past = len(x) < self.large_batch and len(self._predictions) > 0
            negatives = self._predictions.rows() if past else None
            drift, unit, force = field(x, self._experts.draw(self.drawn, rng), negatives, active, self.taus)
            scaled = x / unit
            moved = ((scaled - (scaled.detach() + drift)).square() * active).sum() / active.sum().clamp(min=1)
            self._predictions.push(x.detach() * active)
        numbers = {"mse": error.item(), "drift": moved.item(), "unit": unit.item(), "force": force.item()}
        return Losses(error + self.drift_weight * moved, numbers | sample_metrics(samples.detach(), target, mask))
