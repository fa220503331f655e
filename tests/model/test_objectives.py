"""What every objective promises, on the real trunk."""

import json

import pytest
import torch

from envs.spec import InputError
from model.objectives import REGISTRY, load_objective
from model.objectives.base import options_of, pick_positives
from model.objectives.mse import MeanSquaredError
from model.trunk import Trunk, TrunkConfig

ACTIVE = 5
SMALL = {"drifting": {"samples": 4}, "cimle": {"samples": 3}, "hybrid_queue": {"queue": 16, "drawn": 8}}
FEEDS_BACK = ("diffusion", "flow")


def objective_of(name):
    return load_objective(name, **SMALL.get(name, {}))


def trunk_for(objective, horizon=2):
    torch.manual_seed(0)
    trunk = Trunk(
        TrunkConfig(
            context_dim=8,
            input_dim=objective.input_dim or 6,
            horizon=horizon,
            width=32,
            blocks=1,
            heads=4,
            ffn=48,
            cross_ffn=16,
            time_embedding=objective.time_embedding,
        )
    )
    # The gates start at zero, and would hide what flows through the blocks.
    for parameter in trunk.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return trunk


def context_of(trunk, B=4):
    tokens = torch.randn(B, 3, 8, generator=torch.Generator().manual_seed(1))
    return trunk.prepare(tokens, torch.ones(B, 3, dtype=torch.bool), torch.zeros(B, dtype=torch.long))


def batch(B=4, P=1):
    mask = torch.zeros(B, 2, 128, dtype=torch.bool)
    mask[..., :ACTIVE] = True
    return torch.randn(B, P, 2, 128, generator=torch.Generator().manual_seed(2)) * mask[:, None], mask


@pytest.mark.parametrize("P", [1, 3])
@pytest.mark.parametrize("name", REGISTRY)
def test_losses_are_finite_repeatable_and_train_every_layer(name, P):
    trunk = trunk_for(objective_of(name))
    target, mask = batch(P=P)
    losses = [
        objective_of(name).loss(trunk, context_of(trunk), target, mask, torch.Generator().manual_seed(s))
        for s in (5, 5, 6)
    ]
    assert losses[0].total.item() == losses[1].total.item() != losses[2].total.item()
    assert losses[0].metrics == losses[1].metrics and losses[0].total.item() > 0
    losses[0].total.backward()
    idle = [n for n, p in trunk.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@pytest.mark.parametrize("name", REGISTRY)
def test_masked_slots_have_no_influence_on_training(name):
    trunk = trunk_for(objective_of(name))
    target, mask = batch()
    junk = 50 * torch.randn(target.shape) * ~mask[:, None]
    totals, gradients = [], []
    for shown in (target, target + junk):
        objective, rng = objective_of(name), torch.Generator().manual_seed(5)
        for _ in range(2):  # twice, so that queues have been filled by the first
            loss = objective.loss(trunk, context_of(trunk), shown, mask, rng).total
        trunk.zero_grad()
        loss.backward()
        totals.append(loss.item())
        gradients.append(trunk.head[-1].bias.grad.clone())
    assert totals[0] == totals[1]
    assert torch.equal(*gradients) and gradients[0][:ACTIVE].all() and not gradients[0][ACTIVE:].any()


@pytest.mark.parametrize("name", REGISTRY)
def test_samples_have_the_shape_asked_for_and_come_from_the_seed(name):
    objective = objective_of(name)
    trunk, (_, mask) = trunk_for(objective), batch()
    draw = lambda seed, *rest: objective.sample(  # noqa: E731
        trunk, context_of(trunk), 3, torch.Generator().manual_seed(seed), *rest
    )
    with torch.no_grad():
        first, again, other = (draw(seed, None, mask)[..., :ACTIVE] for seed in (0, 0, 1))
        assert first.shape == (4, 3, 2, ACTIVE) and torch.isfinite(first).all()
        assert torch.equal(first, again) and not torch.equal(first, other)
        assert torch.equal(draw(0, None, mask[0, 0])[..., :ACTIVE], first)
        assert draw(0, 1, mask[:, :1]).shape == (4, 3, 1, 128)


@pytest.mark.parametrize("name", FEEDS_BACK)
def test_samplers_feed_back_active_slots_only(name):
    objective = objective_of(name).with_nfe(10)
    trunk, (_, mask) = trunk_for(objective), batch()
    sample = lambda: objective.sample(trunk, context_of(trunk), 2, torch.Generator().manual_seed(0), 2, mask)  # noqa: E731
    with torch.no_grad():
        before = sample()
        trunk.input[0].weight[:, ACTIVE:] += 100.0
        assert torch.equal(before, sample()) and not before[..., ACTIVE:].any()
        trunk.input[0].weight[:, 0] += 0.1
        assert not torch.equal(before, sample())
        with pytest.raises(ValueError, match="mask"):
            objective.sample(trunk, context_of(trunk), 2, torch.Generator().manual_seed(0))


class Counting(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, self.calls = config, 0

    def forward(self, x, context, time=None):
        self.calls += 1
        assert (time is not None) == self.config.time_embedding
        return torch.zeros(*x.shape[:3], 128)


@pytest.mark.parametrize("name", REGISTRY)
def test_nfe_is_the_number_of_forward_passes(name):
    objective, (_, mask) = objective_of(name), batch()
    for nfe in {"flow": (1, 3, 10), "diffusion": (5, 10, 100)}.get(name, (1,)):
        changed = objective.with_nfe(nfe)
        real = trunk_for(objective)
        trunk = Counting(real.config)
        changed.sample(trunk, context_of(real), 2, torch.Generator().manual_seed(0), 2, mask)
        assert trunk.calls == changed.nfe == nfe
        assert changed.name == name and (nfe == 1 or str(nfe) in changed.sampler)
    assert objective.nfe == {"flow": 10, "diffusion": 100}.get(name, 1)


@pytest.mark.parametrize(
    ("name", "nfe"), [("drifting", 2), ("mse", 10), ("flow", 0), ("diffusion", 3), ("diffusion", 1)]
)
def test_impossible_nfe_is_refused(name, nfe):
    with pytest.raises(InputError, match=name):
        load_objective(name).with_nfe(nfe)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("flow", {"samples": 0}),
        ("cimle", {"samples": -1}),
        ("hybrid_queue", {"taus": (0.1, 0.0)}),
        ("flow", {"nfe": "x"}),
    ],
)
def test_impossible_settings_are_refused(name, options):
    with pytest.raises(InputError, match=next(iter(options))):
        load_objective(name, **options)


@pytest.mark.parametrize("name", REGISTRY)
def test_settings_survive_the_checkpoints_header(name):
    objective = objective_of(name)
    options = json.loads(json.dumps(options_of(objective)))
    assert options_of(load_objective(name, **options)).keys() <= options.keys()
    assert json.loads(json.dumps(vars(load_objective(name, **options)), default=lambda _: 0)) == json.loads(
        json.dumps(vars(objective), default=lambda _: 0)
    )
    if name in FEEDS_BACK:
        assert load_objective(name, **options_of(objective.with_nfe(10))).sampler == objective.with_nfe(10).sampler


def test_objectives_without_state_refuse_one():
    assert MeanSquaredError().state_dict() == {}
    MeanSquaredError().load_state_dict({})
    with pytest.raises(ValueError, match="keeps no state"):
        MeanSquaredError().load_state_dict({"experts": {}})


def test_positives_are_picked_within_their_observation():
    target = torch.arange(6.0).view(2, 3, 1, 1).expand(2, 3, 2, 4)
    picked = pick_positives(target, 300, torch.Generator().manual_seed(0))[..., 0, 0]
    counts = [(picked[b] == v).sum().item() for b in range(2) for v in target[b, :, 0, 0].tolist()]
    assert sum(counts) == 600 and min(counts) > 60


def test_nearest_of_one_is_regression():
    cimle = load_objective("cimle", samples=1)
    trunk, (target, mask) = trunk_for(cimle), batch(P=2)
    values = [
        objective.loss(trunk, context_of(trunk), target, mask, torch.Generator().manual_seed(3)).total.item()
        for objective in (cimle, MeanSquaredError())
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


class Fixed(torch.nn.Module):
    """Gives the same samples whatever it sees."""

    def __init__(self, samples):
        super().__init__()
        self.samples = torch.nn.Parameter(samples)
        self.config = TrunkConfig(context_dim=1, horizon=samples.shape[2])

    def forward(self, x, context, time=None):
        return self.samples


def test_nearest_of_g_regresses_the_nearest_sample_alone():
    generator = torch.Generator().manual_seed(0)
    samples, target = torch.randn(3, 6, 2, 128, generator=generator), torch.randn(3, 2, 2, 128, generator=generator)
    mask = torch.zeros(3, 2, 128, dtype=torch.bool)
    mask[:, 0, :4] = mask[:, 1, 2:5] = True
    # A sample that is nearest only where nothing counts.
    samples[:, 5] = torch.where(mask, 9.0, target[:, 0])
    trunk = Fixed(samples)
    context = type("Context", (), {"embedding": torch.zeros(3, 1)})()
    loss = load_objective("cimle", samples=6).loss(trunk, context, target, mask, generator)
    loss.total.backward()
    expected, gradient = 0.0, torch.zeros_like(samples)
    for b in range(3):
        for p in range(2):
            errors = [sum(((samples[b, g] - target[b, p])[mask[b]] ** 2).tolist()) for g in range(6)]
            best = errors.index(min(errors))
            expected += errors[best] / (7 * 3 * 2)
            gradient[b, best] += 2 * (samples[b, best] - target[b, p]) * mask[b] / (7 * 3 * 2)
    assert loss.total.item() == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(trunk.samples.grad, gradient, atol=1e-7)
