"""Flow matching on straight paths, sampled with Euler steps.

Sources: rectified flow, arXiv:2209.03003, equation 1; flow matching, arXiv:2210.02747, equations 20-23 with
sigma_min = 0. Time runs from 0, noise e, to 1, data x: x_t = (1 - t) e + t x. The trunk learns the velocity x - e,
t uniform. The sampler follows it: x <- x + v(x, t) / NFE at t = 0, 1/NFE, 2/NFE, ...
"""

import torch
from torch import Tensor

from model.actions import ACTION_DIM
from model.objectives.base import (
    Losses,
    Objective,
    check_positive,
    masked_mean,
    noise_chunk,
    pick_positives,
    sampling_mask,
    uniform,
)
from model.trunk import Context, Trunk


class Flow(Objective):
    """The trunk sees the chunk on its way, its inactive slots cleared, and the time.

    Args:
        samples: Draws of noise and time an observation and step; drifting's number, so that a step costs the same.
        nfe: Euler steps of a sample, 1 or more.
    """

    name = "flow"
    input_dim = ACTION_DIM
    time_embedding = True

    def __init__(self, samples: int = 8, nfe: int = 10) -> None:
        self.samples = samples
        self.nfe = nfe
        check_positive(self)

    @property
    def sampler(self) -> str:
        """Euler and its steps."""
        return f"Euler-{self.nfe}"

    def with_nfe(self, nfe: int) -> "Flow":
        """The same flow in another number of Euler steps."""
        return Flow(self.samples, nfe)

    def loss(
        self,
        trunk: Trunk,
        context: Context,
        target: Tensor,
        mask: Tensor,
        rng: torch.Generator,
        progress: float = 1.0,
    ) -> Losses:
        """See `Objective.loss`: the mean squared error of the velocity."""
        data = pick_positives(target, self.samples, rng)
        noise = noise_chunk(trunk, context, self.samples, rng, target.shape[-2])
        time = uniform((len(target), self.samples), rng, target.device)
        t = time[..., None, None]
        velocity = trunk(((1 - t) * noise + t * data) * mask[:, None], context, time)
        return Losses(masked_mean((velocity - (data - noise)).square(), mask))

    def sample(
        self,
        trunk: Trunk,
        context: Context,
        n: int,
        rng: torch.Generator,
        horizon: int | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """See `Objective.sample`. Needs the mask."""
        active = sampling_mask(self, mask)
        x = noise_chunk(trunk, context, n, rng, horizon) * active
        for step in range(self.nfe):
            time = x.new_full(x.shape[:2], step / self.nfe)
            x = x + trunk(x, context, time) * active / self.nfe
        return x
