"""The drifting field against an independent computation by loops, its invariances, and a small bimodal target."""

import math

import numpy as np
import pytest
import torch

from model.network import parameter_count
from model.objectives.base import sample_metrics
from model.objectives.drifting import Drifting, drift_loss
from model.objectives.mse import MeanSquaredError
from model.trunk import Context, Trunk, TrunkConfig

TAUS = (0.02, 0.05, 0.2)


def drift_by_loops(x, positives, mask, negatives=None, weights=None, per_condition=False, taus=TAUS):
    """The formulas, one number at a time, in float64. Returns scaled samples, field, loss, raw forces."""
    B, G, S = x.shape
    N = 0 if negatives is None else negatives.shape[1]
    targets = [[*x[b], *(negatives[b] if N else []), *positives[b]] for b in range(B)]
    M = len(targets[0])
    w = np.ones((B, M)) if weights is None else weights
    active = [[s for s in range(S) if mask[b, s]] for b in range(B)]
    d = np.zeros((B, G, M))
    for b in range(B):
        for i in range(G):
            for j in range(M):
                d[b, i, j] = math.sqrt(max(1e-8, sum((x[b, i, s] - targets[b][j][s]) ** 2 for s in active[b])))

    def mean_distance(rows):
        above = [d[b, i, j] * w[b, j] for b in rows for i in range(G) for j in range(M)]
        below = [w[b, j] for b in rows for i in range(G) for j in range(M)]
        return sum(above) / sum(below)

    scale = [mean_distance([b] if per_condition else range(B)) for b in range(B)]
    unit = [max(scale[b] / math.sqrt(len(active[b])), 1e-3) for b in range(B)]
    field, forces = np.zeros_like(x), []
    for tau in taus:
        force = np.zeros_like(x)
        for b in range(B):
            z = np.array([[-(d[b, i, j] / scale[b] + 100 * (i == j)) / tau for j in range(M)] for i in range(G)])
            a = np.zeros((G, M))
            for i in range(G):
                for j in range(M):
                    row = math.exp(z[i, j] - max(z[i])) / sum(math.exp(v - max(z[i])) for v in z[i])
                    column = math.exp(z[i, j] - max(z[:, j])) / sum(math.exp(v - max(z[:, j])) for v in z[:, j])
                    a[i, j] = math.sqrt(max(row * column, 1e-6)) * w[b, j]
            for i in range(G):
                minus, plus = sum(a[i, : G + N]), sum(a[i, G + N :])
                for j in range(M):
                    c = a[i, j] * minus if j >= G + N else -a[i, j] * plus
                    for s in active[b]:
                        force[b, i, s] += c * (targets[b][j][s] - x[b, i, s]) / unit[b]
        count = G * sum(len(a) for a in active)
        rms = math.sqrt(max((force**2).sum() / count, 1e-8))
        field += force / rms
        forces.append(rms)
    loss = sum((field[b, i, s]) ** 2 for b in range(B) for i in range(G) for s in active[b]) / count
    return field, loss, forces, scale, unit


def random_case(seed=0, B=3, G=4, P=2, N=0, S=5):
    rng = np.random.default_rng(seed)
    draw = lambda n: rng.normal(size=(B, n, S)) * 0.7  # noqa: E731
    return draw(G), draw(P), draw(N) if N else None, rng


def tensors(*arrays):
    return [None if a is None else torch.tensor(a, dtype=torch.float32) for a in arrays]


def field_of(x, positives, mask, unit, **options):
    """The field, read off the gradient: the loss is the mean of (x / unit - goal) squared, where they differ by V."""
    x = x.clone().requires_grad_()
    loss, metrics = drift_loss(x, positives, mask, **options)
    (gradient,) = torch.autograd.grad(loss, x)
    count = mask.sum() * x.shape[1]
    return -gradient * count / 2 * torch.as_tensor(unit, dtype=torch.float32)[:, None, None], loss, metrics


@pytest.mark.parametrize("per_condition", [False, True])
@pytest.mark.parametrize(("P", "N", "weighted"), [(1, 0, False), (3, 0, False), (2, 3, True)])
def test_field_and_loss_equal_the_formulas(P, N, weighted, per_condition):
    x, positives, negatives, rng = random_case(P=P, N=N)
    mask = np.ones((3, 5), bool)
    mask[:, 3] = False
    weights = rng.uniform(0.2, 2, (3, 4 + N + P)) if weighted else None
    field, loss, forces, scale, unit = drift_by_loops(x, positives, mask, negatives, weights, per_condition)
    x, positives, negatives, weights = tensors(x, positives, negatives, weights)
    made, value, metrics = field_of(
        x,
        positives,
        torch.tensor(mask),
        unit,
        negatives=negatives,
        weights=weights,
        per_condition_scale=per_condition,
    )
    assert np.allclose(made.numpy(), field, atol=2e-4)
    assert value.item() == pytest.approx(loss, rel=1e-3)
    assert metrics["scale"].item() == pytest.approx(np.mean(scale), rel=1e-5)
    for tau, force in zip(TAUS, forces, strict=True):
        assert metrics[f"force_{tau}"].item() == pytest.approx(force, rel=1e-3)


def test_masked_coordinates_have_no_influence():
    x, positives, _, rng = random_case()
    mask = torch.tensor([[True, False, True, True, False]] * 3)
    (x, positives) = tensors(x, positives)
    junk = torch.tensor(rng.normal(size=x.shape) * 100, dtype=torch.float32) * ~mask[:, None]
    values = [drift_loss(x + shift, positives - shift[:, :2], mask)[0].item() for shift in (0 * junk, junk)]
    assert values[0] == values[1]
    short = [drift_loss(x[..., [0, 2, 3]], positives[..., [0, 2, 3]], torch.ones(3, 3, dtype=torch.bool))[0].item()]
    assert short[0] == pytest.approx(values[0], rel=1e-5)
    x.requires_grad_()
    drift_loss(x, positives, mask)[0].backward()
    assert not x.grad[..., 1].any() and x.grad[..., 0].any()


def test_moving_the_world_moves_nothing_in_the_field():
    x, positives = tensors(*random_case()[:2])
    mask, shift = torch.ones(3, 5, dtype=torch.bool), torch.tensor([3.0, -2, 1, 0, 5])
    here, there = (field_of(x + s, positives + s, mask, [1, 1, 1])[0] for s in (0 * shift, shift))
    assert torch.allclose(here, there, atol=1e-3)


def test_swapping_samples_and_positives_reverses_the_pull():
    """With one sample and one positive, the two sides of the field are mirror images."""
    x, y = tensors(*random_case(G=1, P=1)[:2])
    mask = torch.ones(3, 5, dtype=torch.bool)
    forward, backward = field_of(x, y, mask, [1, 1, 1])[0], field_of(y, x, mask, [1, 1, 1])[0]
    assert torch.allclose(forward, -backward, atol=1e-5) and forward.abs().max() > 0.1


def test_no_force_where_the_distributions_agree():
    """Positives that are the negatives: every attraction meets an equal repulsion."""
    x, others, _, _ = random_case(G=1, P=4)
    x, others = tensors(x, others)
    mask = torch.ones(3, 5, dtype=torch.bool)
    weights = torch.ones(3, 9)
    weights[:, 0] = 0.0  # leaves out the generated sample itself
    metrics = drift_loss(x, others, mask, negatives=others, weights=weights)[1]
    assert max(metrics[f"force_{tau}"].item() for tau in TAUS) < 1e-5
    moved = drift_loss(x, others + 0.5, mask, negatives=others, weights=weights)[1]
    assert moved["force_0.2"].item() > 1e-2


def test_one_sample_is_drawn_straight_to_its_positive():
    x, y = tensors(*random_case(G=1, P=1)[:2])
    field = field_of(x, y, torch.ones(3, 5, dtype=torch.bool), [1, 1, 1])[0][:, 0]
    direction = (y - x)[:, 0]
    assert torch.allclose(torch.cosine_similarity(field, direction), torch.ones(3), atol=1e-4)


def test_gradient_is_that_of_the_regression_on_a_fixed_goal():
    x, positives = tensors(*random_case()[:2])
    mask = torch.ones(3, 5, dtype=torch.bool)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(drift_loss(x, positives, mask)[0], x)
    _, _, _, _, unit = drift_by_loops(x.detach().double().numpy(), positives.double().numpy(), mask.numpy())
    field = drift_by_loops(x.detach().double().numpy(), positives.double().numpy(), mask.numpy())[0]
    u, start = np.array(unit)[:, None, None], x.detach().double().numpy()
    goal = start / u + field
    for index in [(0, 0, 0), (1, 2, 3), (2, 3, 4)]:
        step = np.zeros_like(start)
        step[index] = 1e-4
        difference = (((start + step) / u - goal) ** 2).mean() - (((start - step) / u - goal) ** 2).mean()
        assert gradient[index].item() == pytest.approx(difference / 2e-4, rel=2e-3, abs=1e-4)


class TinyTrunk(torch.nn.Module):
    """Noise and a one-number context to two numbers in the first slots: no transformer, so it trains in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.config = TrunkConfig(context_dim=1, input_dim=4, horizon=1)
        layers = [torch.nn.Linear(5, 64), torch.nn.SiLU(), torch.nn.Linear(64, 64), torch.nn.SiLU()]
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(64, 128))
        # Samples must differ from the start, as those of the real trunk do.
        self.layers[0].weight.data[:, :4] *= 3
        self.layers[-1].weight.data *= 3

    def forward(self, x, context, time=None):
        condition = context.embedding[:, None, None].expand(-1, x.shape[1], x.shape[2], -1)
        return self.layers(torch.cat([x, condition], dim=-1))


def trained_on_two_modes(objective, steps=400):
    """Target: +v or -v with equal chance, v = (1, context). Returns samples of 16 contexts in units of v."""
    torch.manual_seed(0)
    trunk, rng = TinyTrunk(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(trunk.parameters(), lr=1e-2)
    mask = torch.zeros(64, 1, 128, dtype=torch.bool)
    mask[..., :2] = True
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / steps) + 1e-5
        c = torch.rand(64, generator=rng) * 2 - 1
        sign = torch.randint(0, 2, (64,), generator=rng) * 2.0 - 1
        target = torch.zeros(64, 1, 1, 128)
        target[:, 0, 0, :2] = torch.stack([sign, sign * c], dim=-1)
        context = type("Toy", (), {"embedding": c[:, None]})()
        loss = objective.loss(trunk, context, target, mask, rng, step / steps)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
    c = torch.linspace(-0.9, 0.9, 16)
    context = type("Toy", (), {"embedding": c[:, None]})()
    samples = objective.sample(trunk, context, 32, rng)[:, :, 0, :2].detach()
    v = torch.stack([torch.ones_like(c), c], dim=-1)[:, None]
    return samples, v


def test_parts_add_their_own_fields():
    """Position and gripper of two time steps: the whole chunk, each step, and each part of each step."""
    rng = torch.Generator().manual_seed(3)
    mask = torch.zeros(2, 2, 128, dtype=torch.bool)
    mask[..., [0, 1, 2, 7]] = True
    x, y = torch.randn((2, 4, 2, 128), generator=rng), torch.randn((2, 1, 2, 128), generator=rng)

    class Given(torch.nn.Module):
        config = TrunkConfig(context_dim=4)

        def forward(self, noise, context):
            return x

    context = Context((), torch.ones(2, 1, 1, 1, dtype=torch.bool), torch.zeros(2, 4))
    total = Drifting(samples=4, taus=TAUS).loss(Given(), context, y, mask, rng).total
    whole = drift_loss(x.flatten(2), y.flatten(2), mask.flatten(1))[0]
    steps = [(t.transpose(1, 2).flatten(0, 1)) for t in (x, y)]
    terms = [
        drift_loss(*(t[..., s] for t in steps), mask.flatten(0, 1)[..., s])[0]
        for s in (slice(None), slice(0, 3), slice(7, 8))
    ]
    assert torch.allclose(total, whole + sum(terms), rtol=1e-5)
    # An action of one part has no more terms than its steps.
    only = mask.clone()
    only[..., 7] = False
    same = [Drifting(samples=4, parts=parts).loss(Given(), context, y, only, rng).total for parts in (True, False)]
    assert torch.equal(*same)


def test_drifting_finds_both_modes_where_regression_finds_their_average():
    samples, v = trained_on_two_modes(Drifting(samples=8))
    plus, minus = (samples - v).norm(dim=-1) < 0.3, (samples + v).norm(dim=-1) < 0.3
    assert (plus | minus).float().mean() > 0.7
    assert (plus.any(1) & minus.any(1)).float().mean() > 0.9
    averaged, v = trained_on_two_modes(MeanSquaredError())
    assert (averaged.norm(dim=-1) < 0.5).float().mean() > 0.9


def test_objectives_run_on_the_real_trunk():
    torch.manual_seed(0)
    config = TrunkConfig(context_dim=8, input_dim=6, horizon=2, width=32, blocks=2, heads=4, ffn=48, cross_ffn=16)
    trunk = Trunk(config)
    context = trunk.prepare(torch.randn(3, 5, 8), torch.ones(3, 5, dtype=torch.bool), torch.zeros(3, dtype=torch.long))
    mask = torch.zeros(3, 2, 128, dtype=torch.bool)
    mask[..., :7] = True
    target = torch.randn(3, 1, 2, 128)
    for objective in (Drifting(samples=4), MeanSquaredError()):
        losses = [objective.loss(trunk, context, target, mask, torch.Generator().manual_seed(5)) for _ in range(2)]
        assert losses[0].total.item() == losses[1].total.item() > 0
        assert {"best_mse", "centroid_mse", "spread"} <= set(losses[0].metrics)
        losses[0].total.backward(retain_graph=True)
        assert all(p.grad is not None for name, p in trunk.named_parameters() if "embodiment" not in name)
        sample = objective.sample(trunk, context, 3, torch.Generator().manual_seed(0))
        assert sample.shape == (3, 3, 2, 128)


def test_samples_of_the_untrained_trunk_differ_by_about_one():
    torch.manual_seed(0)
    trunk = Trunk(TrunkConfig(context_dim=16, horizon=1))
    context = trunk.prepare(torch.randn(2, 9, 16), torch.ones(2, 9, dtype=torch.bool), torch.zeros(2, dtype=torch.long))
    with torch.no_grad():
        samples = Drifting().sample(trunk, context, 64, torch.Generator().manual_seed(0))
    assert 0.3 < samples.var(1).mean() < 2


def test_sample_metrics_tell_modes_from_averages():
    target = torch.zeros(1, 1, 1, 128)
    target[..., 0] = 1.0
    mask = torch.zeros(1, 1, 128, dtype=torch.bool)
    mask[..., 0] = True
    samples = torch.zeros(1, 2, 1, 128)
    samples[0, :, 0, 0] = torch.tensor([1.0, -1.0])
    assert sample_metrics(samples, target, mask) == {"best_mse": 0.0, "centroid_mse": 1.0, "spread": 1.0}


def test_the_base_trunk_has_the_specified_size():
    with torch.device("meta"):
        base = TrunkConfig(
            2048, horizon=16, width=768, blocks=12, heads=12, ffn=2048, cross_ffn=2048, time_embedding=True
        )
        assert parameter_count(Trunk(base)) == pytest.approx(146.0e6, rel=0.005)
