"""Denoising diffusion as in Diffusion Policy, with the schedulers of the diffusers package.

Sources: DDPM, arXiv:2006.11239, equation 14 (loss) and algorithm 2 (sampling); DDIM, arXiv:2010.02502, equation 12
with eta = 0; Diffusion Policy, arXiv:2303.04137, section 4 and its published settings: 100 steps, the squared-cosine
schedule of arXiv:2102.09672 (equation 17), prediction of the noise (epsilon), the small fixed variance.

x_t = sqrt(a_t) x + sqrt(1 - a_t) e, t = 0 .. 99. At the noisiest step sqrt(a_t) is 1/2000, so a small error of the
predicted noise becomes a huge one of the predicted chunk, and samplers clip it. Diffusion Policy scales actions to
-1 .. 1 and clips there. Chunks here are not bounded: they count standard deviations, or units of 3 cm from the
pointed-at place (`model.anchor`). `CLIP` is far outside of both, and still stops such errors.
"""

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from envs.spec import InputError
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

CLIP = 20.0  # 20 standard deviations, or 60 cm from the pointed-at place
QUICK = 10  # passes, to watch a training by
FEWEST = 5  # DDIM with n of 100 steps starts at step 100 - 100 / n; with fewer, that is no longer almost pure noise


class Diffusion(Objective):
    """The trunk sees the noised chunk, its inactive slots cleared, and the time t / steps.

    With as many forward passes as training steps the sampler is DDPM, with fewer DDIM.

    Args:
        samples: Draws of noise and time an observation and step; drifting's number, so that a step costs the same.
        steps: Noise levels.
        nfe: Forward passes of a sample: `steps` (DDPM), or a divisor of it (DDIM).
        clip: Bound of the predicted chunk's entries while sampling.
    """

    name = "diffusion"
    input_dim = ACTION_DIM
    time_embedding = True

    def __init__(self, samples: int = 8, steps: int = 100, nfe: int = 100, clip: float = CLIP) -> None:
        self.samples = samples
        self.steps = steps
        self.nfe = nfe
        self.clip = clip
        check_positive(self)
        choices = [n for n in range(min(FEWEST, steps), steps + 1) if steps % n == 0]
        if nfe not in choices:
            raise InputError(
                f"diffusion with {steps} steps cannot be sampled in {nfe} forward passes. Choose one of: "
                f"{', '.join(map(str, choices))}."
            )
        kind = DDPMScheduler if nfe == steps else DDIMScheduler
        self._scheduler = kind(
            num_train_timesteps=steps,
            beta_schedule="squaredcos_cap_v2",
            prediction_type="epsilon",
            clip_sample=True,
            clip_sample_range=clip,
            timestep_spacing="leading",
        )
        self._scheduler.set_timesteps(nfe)

    @property
    def sampler(self) -> str:
        """DDPM or DDIM, and its steps."""
        return f"{'DDPM' if self.nfe == self.steps else 'DDIM'}-{self.nfe}"

    def with_nfe(self, nfe: int) -> "Diffusion":
        """The same diffusion in another number of forward passes.

        Raises:
            InputError: The number does not divide the noise levels, or is too small.
        """
        return Diffusion(self.samples, self.steps, nfe, self.clip)

    def quick(self) -> "Diffusion":
        """DDIM-10 instead of DDPM-100; see `Objective.quick`."""
        return self.with_nfe(QUICK) if self.nfe > QUICK and self.steps % QUICK == 0 else self

    def loss(
        self,
        trunk: Trunk,
        context: Context,
        target: Tensor,
        mask: Tensor,
        rng: torch.Generator,
        progress: float = 1.0,
    ) -> Losses:
        """See `Objective.loss`: the mean squared error of the noise.

        Metrics: `beyond_clip`, the share of target entries that no sample can reach.
        """
        data = pick_positives(target, self.samples, rng)
        noise = noise_chunk(trunk, context, self.samples, rng, target.shape[-2])
        step = (uniform((len(target), self.samples), rng, target.device) * self.steps).long()
        level = self._scheduler.alphas_cumprod.to(target.device)[step][..., None, None]
        noised = level.sqrt() * data + (1 - level).sqrt() * noise
        predicted = trunk(noised * mask[:, None], context, step / self.steps)
        beyond = masked_mean((target.abs() > self.clip).float(), mask).item()
        return Losses(masked_mean((predicted - noise).square(), mask), {"beyond_clip": beyond})

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
        for step in self._scheduler.timesteps.tolist():
            noise = trunk(x, context, x.new_full(x.shape[:2], step / self.steps))
            x = self._scheduler.step(noise * active, step, x, generator=rng).prev_sample * active
        return x
