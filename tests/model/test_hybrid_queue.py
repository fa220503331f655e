"""The queue objective against an independent computation by loops; its queues against a list."""

import math
from collections import deque

import numpy as np
import pytest
import torch

from model.objectives import hybrid_queue
from model.objectives.hybrid_queue import HybridQueue, field
from model.objectives.row_queue import RowQueue
from model.trunk import TrunkConfig

TAUS = (0.02, 0.05, 0.2)


def field_by_loops(x, positives, negatives, active, taus=TAUS):
    """The head of `model/objectives/hybrid_queue.py`, one number at a time. Returns field, unit, raw RMS."""
    own = negatives is None
    targets = [*(x if own else negatives), *positives]
    B, M, N = len(x), len(targets), len(targets) - len(positives)
    d = [[math.sqrt(sum((x[i][s] - targets[j][s]) ** 2 for s in active)) for j in range(M)] for i in range(B)]
    counted = [d[i][j] for i in range(B) for j in range(M) if not (own and i == j)]
    unit = sum(counted) / len(counted) / math.sqrt(len(active))
    V = np.zeros_like(x)
    for tau in taus:
        score = [[-math.inf if own and i == j else -d[i][j] / unit / tau for j in range(M)] for i in range(B)]
        k = np.zeros((B, M))
        for i in range(B):
            for j in range(M):
                if score[i][j] == -math.inf:
                    continue
                row = sum(math.exp(s - score[i][j]) for s in score[i])
                column = sum(math.exp(score[r][j] - score[i][j]) for r in range(B))
                k[i, j] = math.sqrt(1 / row / column)
        for i in range(B):
            minus, plus = sum(k[i, :N]), sum(k[i, N:])
            for j in range(M):
                weight = k[i, j] * minus if j >= N else -k[i, j] * plus
                for s in active:
                    V[i, s] += weight * (targets[j][s] - x[i, s]) / unit
    rms = math.sqrt((V**2).sum() / (B * len(active)))
    return V / rms, unit, rms


def case(seed=0, B=5, P=4, N=6, S=7):
    rng = np.random.default_rng(seed)
    active = [0, 2, 3, 6]
    mask = np.zeros((B, S), bool)
    mask[:, active] = True
    # Near to each other, so that more than the nearest pair counts at the smallest temperature.
    draw = lambda n: rng.normal(size=(n, S)) * mask[0]  # noqa: E731
    return draw(B), draw(P), draw(N), active, mask


def tensors(*arrays):
    return [None if a is None else torch.tensor(a, dtype=torch.float32) for a in arrays]


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("taus", [TAUS, (0.2,), (1.0, 2.0)])
def test_field_equals_the_formulas(own, taus):
    x, positives, negatives, active, mask = case()
    negatives = None if own else negatives
    expected, unit, rms = field_by_loops(x, positives, negatives, active, taus)
    made, made_unit, made_rms = field(*tensors(x, positives, negatives), torch.tensor(mask), taus)
    assert np.allclose(made.numpy(), expected, atol=1e-3)
    assert made_unit.item() == pytest.approx(unit, rel=1e-5) and made_rms.item() == pytest.approx(rms, rel=1e-3)
    assert made.square().sum().item() / mask.sum() == pytest.approx(1.0, rel=1e-4)


def test_mean_distance_in_scaled_coordinates_is_the_root_of_their_number():
    x, positives, negatives, _, mask = case(N=40, P=40)
    x, positives, negatives = tensors(x, positives, negatives)
    _, unit, _ = field(x, positives, negatives, torch.tensor(mask))
    distances = [(a - b).norm().item() / unit.item() for a in x for b in [*positives, *negatives]]
    assert np.mean(distances) == pytest.approx(math.sqrt(4), rel=1e-5)


def test_swapping_positives_and_negatives_reverses_the_field():
    x, positives, negatives, _, mask = case()
    x, positives, negatives = tensors(x, positives, negatives)
    forward = field(x, positives, negatives, torch.tensor(mask), (0.5,))[0]
    backward = field(x, negatives, positives, torch.tensor(mask), (0.5,))[0]
    assert torch.allclose(forward, -backward, atol=1e-4) and forward.abs().max() > 0.5


def test_no_force_where_positives_are_the_negatives():
    x, positives, _, _, mask = case()
    x, positives = tensors(x, positives)
    mask = torch.tensor(mask)
    assert field(x, positives, positives.clone(), mask, (0.2, 1.0))[2] < 1e-6
    assert field(x, positives + 0.3 * mask[0], positives, mask, (0.2, 1.0))[2] > 1e-2


def test_moving_everything_moves_nothing():
    x, positives, negatives, _, mask = case()
    x, positives, negatives = tensors(x, positives, negatives)
    shift = torch.tensor([3.0, 0, -2, 1, 0, 0, 4])
    here = field(x, positives, negatives, torch.tensor(mask))[0]
    there = field(x + shift, positives + shift, negatives + shift, torch.tensor(mask))[0]
    assert torch.allclose(here, there, atol=1e-3)


def test_masked_numbers_of_the_samples_have_no_influence():
    x, positives, negatives, _, mask = case()
    x, positives, negatives = tensors(x, positives, negatives)
    mask = torch.tensor(mask)
    junk = 100 * torch.randn(x.shape) * ~mask
    here, there = (field(x + j, positives, negatives, mask)[0] for j in (0 * junk, junk))
    assert torch.equal(here, there) and not here[~mask].any()


class Fixed(torch.nn.Module):
    """Gives chunks that were set before, whatever it sees."""

    def __init__(self, T=1):
        super().__init__()
        self.config = TrunkConfig(context_dim=1, horizon=T)
        self.samples = None

    def forward(self, x, context, time=None):
        return self.samples


def run_steps(objective, steps, rng, B=4, first=0):
    """Losses of some steps with made-up predictions and targets; both are functions of the step."""
    trunk, context = Fixed(), type("Context", (), {"embedding": torch.zeros(B, 1)})()
    mask = (torch.arange(128) < 3).expand(B, 1, 128)
    losses = []
    for step in range(first, first + steps):
        made = torch.Generator().manual_seed(step)
        trunk.samples = torch.randn(B, 1, 1, 128, generator=made).requires_grad_()
        target = torch.randn(B, 1, 1, 128, generator=made)
        losses.append(objective.loss(trunk, context, target, mask, rng))
    return losses, trunk.samples, target, mask


def test_loss_is_regression_plus_a_tenth_of_the_drift():
    (losses, samples, target, mask) = run_steps(HybridQueue(), 1, torch.Generator().manual_seed(0))
    x, y = samples.detach()[:, 0, 0].double().numpy(), (target * mask[:, None])[:, 0, 0].double().numpy()
    error = ((x - y)[:, :3] ** 2).mean()
    assert losses[0].metrics["mse"] == pytest.approx(error, rel=1e-5)
    # With the field held fixed and of mean square 1, the drift's value is 1; the gradient tells.
    assert losses[0].metrics["drift"] == pytest.approx(1.0, rel=1e-4)
    assert losses[0].total.item() == pytest.approx(error + 0.1, rel=1e-4)
    (gradient,) = torch.autograd.grad(losses[0].total, samples)
    V, unit, _ = field_by_loops(x, y, None, [0, 1, 2])
    goal = x / unit + V
    surrogate = lambda z: (((z - y)[:, :3] ** 2).mean()) + 0.1 * ((z / unit - goal)[:, :3] ** 2).mean()  # noqa: E731
    for index in [(0, 0), (1, 2), (3, 1)]:
        step = np.zeros_like(x)
        step[index] = 1e-5
        difference = (surrogate(x + step) - surrogate(x - step)) / 2e-5
        assert gradient[index[0], 0, 0, index[1]].item() == pytest.approx(difference, rel=2e-3, abs=1e-4)
    assert not gradient[..., 3:].any()


@pytest.fixture
def seen(monkeypatch):
    """Positives and negatives of every call of the field."""
    calls = []

    def watched(x, positives, negatives, mask, taus):
        calls.append((positives.clone(), None if negatives is None else negatives.clone()))
        return field(x, positives, negatives, mask, taus)

    monkeypatch.setattr(hybrid_queue, "field", watched)
    return calls


def chunks_of(step, B=4):
    made = torch.Generator().manual_seed(step)
    keep = torch.arange(128) < 3
    return [torch.randn(B, 1, 1, 128, generator=made)[:, 0, 0] * keep for _ in range(2)]


def rows_of(tensor):
    return sorted(tuple(row[:3].tolist()) for row in tensor)


def test_positives_are_recent_experts_and_negatives_past_predictions(seen):
    run_steps(HybridQueue(queue=8, drawn=6), 4, torch.Generator().manual_seed(0))
    predictions, experts = zip(*(chunks_of(step) for step in range(4)), strict=True)
    assert seen[0][1] is None
    assert rows_of(seen[1][1]) == rows_of(predictions[0])
    assert rows_of(seen[2][1]) == rows_of(torch.cat(predictions[:2]))
    assert rows_of(seen[3][1]) == rows_of(torch.cat(predictions[1:3]))
    assert rows_of(seen[0][0]) == rows_of(experts[0])
    drawn = rows_of(seen[3][0])
    assert len(drawn) == len(set(drawn)) == 6 and set(drawn) <= set(rows_of(torch.cat(experts[2:])))
    assert not seen[3][0][:, 3:].any() and not seen[3][1][:, 3:].any()


def test_large_batches_are_their_own_negatives(seen):
    run_steps(HybridQueue(large_batch=4), 3, torch.Generator().manual_seed(0))
    assert [negatives for _, negatives in seen] == [None] * 3


def test_specified_sizes_are_the_defaults():
    objective = HybridQueue()
    assert (objective.queue, objective.drawn, objective.large_batch) == (2048, 256, 1024)
    assert objective.taus == TAUS and objective.drift_weight == 0.1


def test_interrupted_training_goes_on_the_same(tmp_path):
    rng = lambda step: torch.Generator().manual_seed(100 + step)  # noqa: E731
    whole, parts = HybridQueue(queue=10, drawn=5), HybridQueue(queue=10, drawn=5)
    expected = [run_steps(whole, 1, rng(step), first=step)[0][0] for step in range(6)]
    made = [run_steps(parts, 1, rng(step), first=step)[0][0] for step in range(3)]
    torch.save(parts.state_dict(), tmp_path / "state.pt")
    run_steps(parts, 2, rng(9), first=50)  # what was lost with the interruption
    resumed = HybridQueue(queue=10, drawn=5)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    made += [run_steps(resumed, 1, rng(step), first=step)[0][0] for step in range(3, 6)]
    assert [loss.metrics for loss in made] == [loss.metrics for loss in expected]
    fresh = run_steps(HybridQueue(queue=10, drawn=5), 1, rng(5), first=5)[0][0]
    assert fresh.metrics["force"] != expected[5].metrics["force"]


def test_the_field_is_computed_in_full_precision_under_autocast():
    plain = run_steps(HybridQueue(), 2, torch.Generator().manual_seed(0))[0]
    with torch.autocast("cpu", torch.bfloat16):
        cast = run_steps(HybridQueue(), 2, torch.Generator().manual_seed(0))[0]
    assert [loss.metrics for loss in plain] == [loss.metrics for loss in cast]


@pytest.mark.parametrize("pushes", [[3], [3, 3, 3], [7], [16], [5, 23], [7, 7, 1]])
def test_queue_keeps_the_newest_rows(pushes):
    queue, expected, value = RowQueue(7), deque(maxlen=7), 0
    for count in pushes:
        rows = torch.arange(value, value + count).float()[:, None].repeat(1, 2)
        queue.push(rows)
        expected.extend(rows[:, 0].tolist())
        value += count
        assert sorted(queue.rows()[:, 0].tolist()) == sorted(expected) and len(queue) == len(expected)


def test_queue_draws_without_replacement_by_the_generator():
    queue = RowQueue(50)
    queue.push(torch.arange(50.0)[:, None])
    draws = [queue.draw(20, torch.Generator().manual_seed(seed))[:, 0].tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2] and len(set(draws[0])) == 20
    assert sorted(queue.draw(99, torch.Generator()).flatten().tolist()) == list(range(50))


def test_queue_state_is_a_copy_and_fits_its_size_only():
    queue = RowQueue(4)
    queue.push(torch.ones(3, 2, requires_grad=True))
    state = queue.state_dict()
    queue.push(torch.zeros(4, 2))
    other = RowQueue(4)
    other.load_state_dict(state)
    assert other.rows().tolist() == [[1.0, 1.0]] * 3 and not other.rows().requires_grad
    with pytest.raises(ValueError, match="4 places"):
        RowQueue(5).load_state_dict(state)
    with pytest.raises(ValueError, match="2 numbers"):
        queue.push(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="empty"):
        RowQueue(4).rows()
    RowQueue(4).load_state_dict(RowQueue(4).state_dict())
