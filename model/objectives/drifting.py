"""The drifting objective (Generative Modeling via Drifting, arXiv:2602.04770), a field for every observation.

A generator that maps noise to a sample in one pass is trained by moving its samples along a field V: towards the
positives (valid answers of the observation), away from its own siblings. Where samples and positives have the same
distribution the two pulls cancel and V = 0. The network is regressed onto x + V with V held fixed.

Shapes: B conditions, G generated samples, P positives, N extra negatives, M = G + N + P targets, S coordinates.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from model.normalize import PARTS
from model.objectives.base import Losses, OnePass, noise_chunk, sample_metrics
from model.trunk import Context, Trunk

TAUS = (0.02, 0.05, 0.2)  # the paper's
FAR_TAU = 10.0  # moves the mean of samples that all lie far from the demonstration
SELF_DISTANCE = 100.0  # added to the normalised distance of a sample to itself: no sample repels itself


def drift_loss(
    x: Float[Tensor, "B G S"],
    positives: Float[Tensor, "B P S"],
    mask: Bool[Tensor, "B S"],
    negatives: Float[Tensor, "B N S"] | None = None,
    weights: Float[Tensor, "B M"] | None = None,
    taus: Sequence[float] = TAUS,
    per_condition_scale: bool = False,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """The squared distance of samples to where the field moves them.

    Args:
        x: Generated samples; the only argument that gets a gradient.
        positives: Valid answers, P >= 1.
        mask: Coordinates that count. The others enter neither distances nor the number of coordinates.
        negatives: Samples to move away from, beside the siblings.
        weights: Of each target, in the order generated, negatives, positives; 1 by default.
        taus: Kernel temperatures, relative to the mean distance.
        per_condition_scale: Measure the mean distance in every condition instead of over the batch: for batches that
            mix tasks of different spread.

    Returns:
        The loss and detached scalars: `scale`, the mean distance, and `force_<tau>`, the RMS of the raw field.
    """
    G, P = x.shape[1], positives.shape[1]
    # Most of the 128 slots are active nowhere: without them the distances cost a tenth.
    used = mask.any(0)
    mask = mask[:, used]
    active = mask[:, None].float()
    x = x[..., used].float() * active
    with torch.no_grad():
        own = x.detach()
        extra = own[:, :0] if negatives is None else negatives[..., used].float() * active
        targets = torch.cat([own, extra, positives[..., used].float() * active], dim=1)
        w = torch.ones_like(targets[..., 0]) if weights is None else weights.float()

        # 1, 2: distances, in units of their weighted mean; coordinates so that the mean distance is sqrt(S).
        distance = (own[:, :, None] - targets[:, None]).square().sum(-1).clamp(min=1e-8).sqrt()
        over = (1, 2) if per_condition_scale else (0, 1, 2)
        scale = (distance * w[:, None]).mean(over, keepdim=True) / w[:, None].mean(over, keepdim=True)
        unit = (scale / mask.sum(-1).clamp(min=1).sqrt()[:, None, None]).clamp(min=1e-3)
        own, targets = own / unit, targets / unit
        distance = distance / scale.clamp(min=1e-3)
        # 3: no self-interaction.
        distance[:, :, :G] += SELF_DISTANCE * torch.eye(G, device=x.device)

        drift = torch.zeros_like(own)
        metrics = {"scale": scale.mean()}
        for tau in taus:
            # 4: the kernel, normalised over targets and over samples.
            logits = -distance / tau
            affinity = (logits.softmax(dim=2) * logits.softmax(dim=1)).clamp(min=1e-6).sqrt() * w[:, None]
            # 5: attraction weighted by the mass of the repulsion and the other way round: rows sum to zero.
            repel, attract = affinity.split([targets.shape[1] - P, P], dim=2)
            pull = attract * repel.sum(2, keepdim=True)
            push = -repel * attract.sum(2, keepdim=True)
            coefficient = torch.cat([push, pull], dim=2)
            force = coefficient @ targets - coefficient.sum(2, keepdim=True) * own
            # 6: every temperature contributes a field of RMS 1.
            power = (force.square() * active).sum() / (active.sum() * G).clamp(min=1)
            drift += force / power.clamp(min=1e-8).sqrt()
            metrics[f"force_{tau}"] = power.sqrt()
        goal = own + drift
    # 7
    loss = ((x / unit - goal).square() * active).sum() / (active.sum() * G).clamp(min=1)
    return loss, metrics


class Drifting(OnePass):
    """The default recipe: terms for the whole chunk, its time steps and their parts; sibling negatives, no queue."""

    name = "drifting"

    def __init__(
        self,
        samples: int = 8,
        taus: tuple[float, ...] = (*TAUS, FAR_TAU),
        per_condition_scale: bool = False,
        parts: bool = True,
    ) -> None:
        """Args are the recipe's settings.

        Args:
            samples: G, generated samples of each observation; 4 or more (with one, drifting is regression).
            taus: Kernel temperatures.
            per_condition_scale: See `drift_loss`.
            parts: Add a term for each part of an action (position, rotation, gripper). In ten dimensions the nearest of
                eight siblings is hardly nearer than the others, so that the whole chunk's field hardly contracts
                samples around a single positive; in three it does.
        """
        self.samples = samples
        self.taus = taus
        self.per_condition_scale = per_condition_scale
        self.parts = parts

    def loss(
        self,
        trunk: Trunk,
        context: Context,
        target: Float[Tensor, "B P T 128"],
        mask: Bool[Tensor, "B T 128"],
        rng: torch.Generator,
        progress: float = 1.0,
    ) -> Losses:
        """See `Objective.loss`. Metrics: `scale`, `force_<tau>`, and those of `sample_metrics`."""
        samples = trunk(noise_chunk(trunk, context, self.samples, rng, target.shape[-2]), context)
        with torch.autocast(samples.device.type, enabled=False):
            total, metrics = self._whole_chunk(samples, target, mask)
            if target.shape[-2] > 1:
                total = total + self._time_steps(samples, target, mask)
            if self.parts:
                total = total + self._parts(samples, target, mask)
        scalars = {name: value.item() for name, value in metrics.items()}
        return Losses(total, scalars | sample_metrics(samples, target, mask))

    def _whole_chunk(self, samples: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return drift_loss(
            samples.flatten(2),
            target.flatten(2),
            mask.flatten(1),
            taus=self.taus,
            per_condition_scale=self.per_condition_scale,
        )

    def _parts(self, samples: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Each part of each time step as a condition of its own."""
        used = [part for part in PARTS if mask[..., part].any()]
        if len(used) < 2:  # the time steps themselves
            return samples.new_zeros(())
        terms = [self._time_steps(samples[..., part], target[..., part], mask[..., part]) for part in used]
        return torch.stack(terms).sum()

    def _time_steps(self, samples: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Each time step as a condition of its own."""
        return drift_loss(
            samples.transpose(1, 2).flatten(0, 1),
            target.transpose(1, 2).flatten(0, 1),
            mask.flatten(0, 1),
            taus=self.taus,
            per_condition_scale=self.per_condition_scale,
        )[0]
