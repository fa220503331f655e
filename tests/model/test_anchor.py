import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.actions import EMBODIMENTS
from model.anchor import OFFSET_UNIT, from_offsets, to_offsets
from model.normalize import Normalizer


@pytest.fixture(scope="module")
def normalizer() -> Normalizer:
    rng = np.random.default_rng(0)
    native = np.concatenate([rng.uniform([0.1, -0.4, 0.8], [0.5, 0.4, 1.3], (20, 3)), rng.normal(size=(20, 5))], axis=1)
    return Normalizer.fit("absolute_eef", native, rng.uniform(size=(20, 2)))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), lead=st.sampled_from([(), (1,), (4, 2)]))
def test_offsets_and_back(normalizer, seed, lead):
    rng = torch.Generator().manual_seed(seed)
    internal = 3 * torch.randn(5, *lead, 128, generator=rng)
    point = torch.randn(5, 3, generator=rng)
    offsets = to_offsets(internal, point, normalizer)
    assert torch.allclose(from_offsets(offsets, point, normalizer), internal, atol=1e-4)
    assert torch.equal(offsets[..., 3:], internal[..., 3:])
    assert not torch.allclose(offsets[..., :3], internal[..., :3], atol=0.1)


def test_without_a_point_nothing_changes(normalizer):
    internal = torch.randn(5, 2, 128)
    assert torch.equal(to_offsets(internal, None, normalizer), internal)
    assert torch.equal(from_offsets(internal, None, normalizer), internal)


def test_offsets_are_distances_in_space_from_each_observations_own_point(normalizer):
    native = np.array([[0.3, 0.1, 1.0, 1, 0, 0, 0, 1], [0.4, -0.1, 0.9, 1, 0, 0, 0, 0]], np.float32)
    action = EMBODIMENTS["absolute_eef"].encode(native)
    internal = torch.from_numpy(normalizer.to_internal(action))[:, None, None]
    point = torch.from_numpy(native[:, :3]) - torch.tensor([[OFFSET_UNIT, 0.0, 0.0], [0.0, 0.0, -2 * OFFSET_UNIT]])
    offsets = to_offsets(internal, point, normalizer)[:, 0, 0, :3]
    assert torch.allclose(offsets, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -2.0]]), atol=1e-4)


def test_targets_do_not_teach_the_point(normalizer):
    """The point is taught by its own losses: drifting would otherwise pull it towards its samples."""
    point = torch.zeros(2, 3, requires_grad=True)
    assert not to_offsets(torch.randn(2, 1, 128), point, normalizer).requires_grad
