import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from model.actions import EMBODIMENTS
from model.anchor import OFFSET_UNIT, SHIFT, Anchor, disturbed, from_offsets, heading_of, to_offsets, upright
from model.normalize import ROTATION_6D, Normalizer


@pytest.fixture(scope="module")
def normalizer() -> Normalizer:
    rng = np.random.default_rng(0)
    native = np.concatenate([rng.uniform([0.1, -0.4, 0.8], [0.5, 0.4, 1.3], (20, 3)), rng.normal(size=(20, 5))], axis=1)
    return Normalizer.fit("absolute_eef", native, rng.uniform(size=(20, 2)))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), lead=st.sampled_from([(), (1,), (4, 2)]))
def test_into_the_frame_and_back(normalizer, seed, lead):
    rng = torch.Generator().manual_seed(seed)
    internal = 3 * torch.randn(5, *lead, 128, generator=rng)
    anchor = disturbed(torch.randn(5, 3, generator=rng), rng)
    inside = to_offsets(internal, anchor, normalizer)
    assert torch.allclose(from_offsets(inside, anchor, normalizer), internal, atol=1e-4)
    others = [slot for slot in range(3, 128) if not ROTATION_6D.start <= slot < ROTATION_6D.stop]
    assert torch.equal(inside[..., others], internal[..., others])
    assert not torch.allclose(inside[..., :3], internal[..., :3], atol=0.1)
    assert not torch.allclose(inside[..., ROTATION_6D], internal[..., ROTATION_6D], atol=0.1)


def test_without_an_anchor_nothing_changes(normalizer):
    internal = torch.randn(5, 2, 128)
    assert torch.equal(to_offsets(internal, None, normalizer), internal)
    assert torch.equal(from_offsets(internal, None, normalizer), internal)


def test_poses_are_relative_to_each_observations_own_anchor(normalizer):
    """Against rigid motions from another library: the frame at `point`, turned by `turn`."""
    quaternions = Rotation.random(2, rng=1).as_quat()
    native = np.concatenate([[[0.3, 0.1, 1.0], [0.4, -0.1, 0.9]], quaternions, [[1], [0]]], axis=1).astype(np.float32)
    internal = torch.from_numpy(normalizer.to_internal(EMBODIMENTS["absolute_eef"].encode(native)))[:, None, None]
    point, turn = np.array([[0.2, 0.1, 1.1], [0.5, 0.0, 0.9]]), np.array([0.7, -2.0])
    frame = Rotation.from_euler("z", turn[:, None])
    anchor = Anchor(torch.tensor(point, dtype=torch.float32), torch.tensor(turn, dtype=torch.float32))
    inside = to_offsets(internal, anchor, normalizer)[:, 0, 0].numpy()
    np.testing.assert_allclose(inside[:, :3], frame.inv().apply(native[:, :3] - point) / OFFSET_UNIT, atol=1e-4)
    columns = (frame.inv() * Rotation.from_quat(quaternions)).as_matrix()[:, :, :2]
    np.testing.assert_allclose(inside[:, ROTATION_6D], columns.transpose(0, 2, 1).reshape(2, 6), atol=1e-5)


def test_an_upright_anchor_leaves_rotations_alone(normalizer):
    internal = torch.randn(5, 2, 128)
    inside = to_offsets(internal, upright(torch.randn(5, 3)), normalizer)
    assert torch.equal(inside[..., ROTATION_6D], internal[..., ROTATION_6D])


def test_anchors_are_moved_a_little_and_turned_anyhow():
    point = torch.randn(4000, 3)
    anchor = disturbed(point, torch.Generator().manual_seed(0))
    assert (anchor.point - point).std(0).numpy() == pytest.approx([SHIFT] * 3, rel=0.1)
    counts = torch.histc(anchor.turn, 8, -torch.pi, torch.pi)
    assert anchor.turn.abs().max() <= torch.pi and counts.min() > 400
    again = disturbed(point, torch.Generator().manual_seed(0))
    assert torch.equal(again.point, anchor.point) and torch.equal(again.turn, anchor.turn)


def test_targets_do_not_teach_the_point(normalizer):
    """The point is taught by its own losses: drifting would otherwise pull it towards its samples."""
    point = torch.zeros(2, 3, requires_grad=True)
    for anchor in (upright(point), disturbed(point, torch.Generator().manual_seed(0))):
        assert not to_offsets(torch.randn(2, 1, 128), anchor, normalizer).requires_grad


@pytest.mark.parametrize("yaw", [-3.0, -1.0, 0.0, 0.5, 2.5])
def test_the_heading_of_a_hand_is_its_turn_about_the_vertical(yaw):
    """Tilting about the hand's own axes does not change it."""
    down = Rotation.from_euler("z", yaw) * Rotation.from_quat([0.0, 1.0, 0.0, 0.0])
    for tilt in (Rotation.identity(), Rotation.from_euler("x", 0.7), Rotation.from_euler("y", -1.2)):
        columns = (down * tilt).as_matrix()[:, :2].T.reshape(-1)
        assert heading_of(torch.tensor(columns)).item() == pytest.approx(yaw, abs=1e-6)
