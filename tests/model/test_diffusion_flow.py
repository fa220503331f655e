"""Diffusion and flow against analytic denoisers and velocities, computed apart in float64."""

import math

import numpy as np
import pytest
import torch

from model.objectives.diffusion import Diffusion
from model.objectives.flow import Flow
from model.trunk import TrunkConfig

MASK = torch.arange(128) < 3
CONTEXT = type("Context", (), {"embedding": torch.zeros(2, 1)})()


def signal_levels(steps=100):
    """The squared-cosine schedule: a_t for t = 0 .. steps - 1."""
    level = lambda u: math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2  # noqa: E731
    betas = [min(1 - level((t + 1) / steps) / level(t / steps), 0.999) for t in range(steps)]
    return np.cumprod([1 - beta for beta in betas]), np.array(betas)


LEVELS, BETAS = signal_levels()


class Analytic(torch.nn.Module):
    """Stands in for a trunk: a function of the noised chunk and the time."""

    def __init__(self, function, horizon=1):
        super().__init__()
        self.config = TrunkConfig(context_dim=1, input_dim=128, horizon=horizon, time_embedding=True)
        self.function = function

    def forward(self, x, context, time):
        return self.function(x.double(), time.double()[..., None, None]).float()


def noise_of_gaussian(mean, std):
    """The exact noise E[e | x_t] where the data are normal."""

    def predict(x, time):
        a = torch.from_numpy(LEVELS)[(time * 100).round().long()]
        return (1 - a).sqrt() * (x - a.sqrt() * mean) / (a * std**2 + 1 - a)

    return predict


def noise_by_hand(x, t, mean, std):
    a = LEVELS[t]
    return math.sqrt(1 - a) * (x - math.sqrt(a) * mean) / (a * std**2 + 1 - a)


def target_and_mask(B=2, T=2):
    mask = MASK.expand(B, T, 128)
    return torch.randn(B, 1, T, 128, generator=torch.Generator().manual_seed(3)) * mask[:, None], mask


def test_the_exact_noise_of_a_single_answer_has_no_loss():
    """Where the data are one chunk, the noise follows from the noised chunk: tests noising, times and masks."""
    target, mask = target_and_mask()

    def predict(x, time):
        a = torch.from_numpy(LEVELS)[(time * 100).round().long()]
        return (x - a.sqrt() * target) / (1 - a).sqrt()

    losses = Diffusion(samples=64).loss(Analytic(predict, 2), CONTEXT, target, mask, torch.Generator().manual_seed(0))
    assert losses.total.item() < 1e-6
    shifted = Analytic(lambda x, time: predict(x, time) + 0.5, 2)
    assert Diffusion(samples=64).loss(
        shifted, CONTEXT, target, mask, torch.Generator().manual_seed(0)
    ).total.item() == pytest.approx(0.25, rel=1e-3)


def test_training_visits_every_noise_level_alike():
    times = []
    target, mask = target_and_mask()
    trunk = Analytic(lambda x, time: times.append(time) or x, 2)
    Diffusion(samples=5000).loss(trunk, CONTEXT, target, mask, torch.Generator().manual_seed(0))
    counts = np.bincount((times[0].flatten() * 100).round().long().numpy())
    assert len(counts) == 100 and counts.min() > 60 and counts.max() < 150


def test_ddim_follows_its_closed_form():
    mean, std = 1.5, 0.4
    trunk = Analytic(noise_of_gaussian(mean, std))
    sampler = Diffusion().with_nfe(10)
    made = sampler.sample(trunk, CONTEXT, 5, torch.Generator().manual_seed(0), 1, MASK)
    x = torch.randn(2, 5, 1, 128, generator=torch.Generator().manual_seed(0)).double().numpy()[..., :3]
    for t in range(90, -1, -10):
        e = noise_by_hand(x, t, mean, std)
        clean = (x - math.sqrt(1 - LEVELS[t]) * e) / math.sqrt(LEVELS[t])
        before = LEVELS[t - 10] if t else 1.0
        x = math.sqrt(before) * clean + math.sqrt(1 - before) * e
    assert np.allclose(made[..., :3].numpy(), x, atol=1e-4)
    assert abs(x.mean() - mean) < 0.3 and sampler.sampler == "DDIM-10"


def test_a_training_is_watched_in_ten_passes_at_most():
    assert (Diffusion().quick().sampler, Diffusion().nfe) == ("DDIM-10", 100)
    few, flow = Diffusion(nfe=5), Flow()
    assert few.quick() is few and flow.quick() is flow
    assert Diffusion(steps=25, nfe=25).quick().nfe == 25  # cannot be sampled in 10


def test_ddpm_follows_its_closed_form():
    """Step by step with the same noise: posterior mean and the small variance (Ho et al., equation 7)."""
    mean, std = -0.7, 0.5
    made = Diffusion().sample(
        Analytic(noise_of_gaussian(mean, std)), CONTEXT, 5, torch.Generator().manual_seed(0), 1, MASK
    )
    rng = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(2, 5, 1, 128, generator=rng).double().numpy()[..., :3]  # noqa: E731
    x = draw()
    for t in range(99, -1, -1):
        before = LEVELS[t - 1] if t else 1.0
        clean = (x - math.sqrt(1 - LEVELS[t]) * noise_by_hand(x, t, mean, std)) / math.sqrt(LEVELS[t])
        x = (
            math.sqrt(before) * BETAS[t] / (1 - LEVELS[t]) * clean.clip(-20, 20)
            + math.sqrt(1 - BETAS[t]) * (1 - before) / (1 - LEVELS[t]) * x
        )
        if t:
            x = x + math.sqrt((1 - before) / (1 - LEVELS[t]) * BETAS[t]) * draw()
    assert np.allclose(made[..., :3].numpy(), x, atol=1e-3)


def moments(nfe, mean, std):
    """Mean and standard deviation of many samples where the data are normal."""
    trunk = Analytic(noise_of_gaussian(mean, std))
    made = Diffusion().with_nfe(nfe).sample(trunk, CONTEXT, 3000, torch.Generator().manual_seed(0), 1, MASK)[..., :3]
    return made.mean().item(), made.std().item()


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.5, 0.3), (8.0, 0.5)])
def test_samples_have_the_datas_distribution(mean, std):
    """Far outside of -1 .. 1 too: the clip of Diffusion Policy would cut it."""
    made = moments(100, mean, std)
    assert made == pytest.approx((mean, std), rel=0.06, abs=0.04)
    # DDIM comes nearer with more passes; it starts at step 90, as if nothing of the data were left there.
    ten, fifty = (moments(nfe, mean, std) for nfe in (10, 50))
    assert ten == pytest.approx((mean, std), rel=0.2, abs=0.04)
    assert abs(fifty[1] - std) < abs(ten[1] - std) and fifty == pytest.approx((mean, std), rel=0.06, abs=0.04)


def test_errors_at_the_noisiest_steps_do_not_carry_through():
    exact = noise_of_gaussian(0.5, 0.3)
    wrong = Analytic(lambda x, time: exact(x, time) + 3.0 * (time > 0.95))
    kept, lost = (
        Diffusion(clip=clip).sample(wrong, CONTEXT, 500, torch.Generator().manual_seed(0), 1, MASK)[..., :3].mean()
        for clip in (20.0, 1e9)
    )
    assert abs(kept - 0.5) < 0.05 and abs(lost - 0.5) > 0.1


def test_targets_beyond_the_clip_are_reported():
    target, mask = target_and_mask()
    target[0, 0, 0, 0], target[0, 0, 0, 100] = 30.0, 99.0
    trunk = Analytic(lambda x, time: x, 2)
    metrics = Diffusion().loss(trunk, CONTEXT, target, mask, torch.Generator().manual_seed(0)).metrics
    assert metrics["beyond_clip"] == pytest.approx(1 / 12)


def test_the_exact_velocity_of_a_single_answer_has_no_loss():
    target, mask = target_and_mask()
    velocity = lambda x, time: (target - x) / (1 - time)  # noqa: E731
    losses = Flow(samples=64).loss(Analytic(velocity, 2), CONTEXT, target, mask, torch.Generator().manual_seed(0))
    assert losses.total.item() < 1e-4
    # The average over noise alone knows nothing of it: its error is the noise's variance.
    average = Analytic(lambda x, time: target.expand(x.shape), 2)
    blind = Flow(samples=2000).loss(average, CONTEXT, target, mask, torch.Generator().manual_seed(0))
    assert blind.total.item() == pytest.approx(1.0, abs=0.05)


def test_flow_times_are_uniform():
    times = []
    target, mask = target_and_mask()
    trunk = Analytic(lambda x, time: times.append(time) or x, 2)
    Flow(samples=5000).loss(trunk, CONTEXT, target, mask, torch.Generator().manual_seed(0))
    assert times[0].min() >= 0 and times[0].max() < 1
    assert times[0].mean() == pytest.approx(0.5, abs=0.01) and times[0].var() == pytest.approx(1 / 12, abs=0.003)


def flow_samples(field, nfe):
    return Flow(nfe=nfe).sample(Analytic(field), CONTEXT, 4, torch.Generator().manual_seed(0), 1, MASK)[..., :3]


@pytest.mark.parametrize("nfe", [1, 3, 10])
def test_euler_solves_linear_fields_as_by_hand(nfe):
    start = torch.randn(2, 4, 1, 128, generator=torch.Generator().manual_seed(0))[..., :3]
    sample = lambda field: flow_samples(field, nfe)  # noqa: E731
    # dx/dt = -2 x + 1: each step multiplies the distance to 1/2 by 1 - 2 / nfe.
    assert torch.allclose(sample(lambda x, time: 1 - 2 * x), 0.5 + (start - 0.5) * (1 - 2 / nfe) ** nfe, atol=1e-5)
    # dx/dt = t: the grid is 0, 1 / nfe, ...
    assert torch.allclose(sample(lambda x, time: time.expand(x.shape)), start + (nfe - 1) / (2 * nfe), atol=1e-5)
    # Straight to one answer: any number of steps arrives.
    assert torch.allclose(sample(lambda x, time: (3 - x) / (1 - time)), torch.full_like(start, 3), atol=1e-5)


def test_flow_of_a_gaussian_maps_noise_linearly_and_one_step_averages():
    mean, std = 2.0, 0.5

    def velocity(x, time):
        """E[data - noise | x_t] of normal data."""
        variance = (1 - time) ** 2 + (time * std) ** 2
        return mean + (time * std**2 - (1 - time)) / variance * (x - time * mean)

    start = torch.randn(2, 4, 1, 128, generator=torch.Generator().manual_seed(0))[..., :3]
    assert torch.allclose(flow_samples(velocity, 400), mean + std * start, atol=0.01)
    assert torch.allclose(flow_samples(velocity, 1), torch.full_like(start, mean), atol=1e-5)
