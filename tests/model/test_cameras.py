import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from model.cameras import CameraModel, camera_poses, project, rotation_matrix, triangulate

START = torch.tensor([[0.3, 0.0, 1.2, 0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)


def looking_at(target, azimuth: float, elevation: float, distance: float, fov: float = 50.0, tip=None) -> CameraModel:
    """A camera that has a point in the middle of its image; on the end effector when its pose is given."""
    back = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    rotation = Rotation.from_matrix(np.stack([right, np.cross(back, right), back], axis=1))
    position, mount = np.asarray(target) + distance * back, "world"
    if tip is not None:
        hand, mount = Rotation.from_quat(tip[3:]), "eef"
        position, rotation = hand.inv().apply(position - tip[:3]), hand.inv() * rotation
    return CameraModel(fov, mount, tuple(position.tolist()), tuple(rotation.as_quat().tolist()))


def ring(count: int, start: float = 0.3) -> list[CameraModel]:
    return [looking_at([0.3, 0.0, 0.9], start + 1.1 * k, 0.4 + 0.1 * k, 1.5) for k in range(count)]


def unit(number: float, low: float, high: float) -> float:
    return low + (high - low) * number


@st.composite
def scenes(draw):
    """Cameras on a ring, some on the end effector, a point between them, and the end effector's pose."""
    share = st.floats(0, 1)
    rotation = Rotation.from_rotvec([unit(draw(share), -3, 3) for _ in range(3)])
    tip = np.array([*(unit(draw(share), -0.5, 0.5) for _ in range(3)), *rotation.as_quat()])
    point = np.array([unit(draw(share), -0.25, 0.25) for _ in range(3)])
    azimuth, cameras = unit(draw(share), -3, 3), []
    for _ in range(draw(st.integers(2, 4))):
        # Neighbours at least 40 degrees apart and never across from each other: rays that are not parallel.
        azimuth += unit(draw(share), 0.7, 1.0)
        elevation, distance = unit(draw(share), 0.2, 0.9), unit(draw(share), 1.0, 2.5)
        mounted = tip if draw(st.booleans()) else None
        cameras.append(looking_at(np.zeros(3), azimuth, elevation, distance, unit(draw(share), 30, 90), mounted))
    return cameras, torch.from_numpy(tip)[None], torch.from_numpy(point)[None]


@settings(deadline=None, max_examples=60)
@given(scenes())
def test_triangulation_inverts_projection(scene):
    cameras, tip, point = scene
    image = project(cameras, tip, point)
    weight = torch.ones(1, len(cameras), dtype=torch.float64)
    assert torch.allclose(triangulate(cameras, tip, image, weight, prior=1e-10), point, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_rotation_matrices(quaternion):
    unit_quaternion = np.array(quaternion) / np.linalg.norm(quaternion)
    ours = rotation_matrix(torch.from_numpy(unit_quaternion))
    assert np.allclose(ours, Rotation.from_quat(unit_quaternion).as_matrix(), atol=1e-9)


def test_image_coordinates_run_right_and_down_and_end_at_the_field_of_view():
    camera = CameraModel(90.0, "world", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))  # looks along -z, up is y
    points = torch.tensor([[1.0, 0.5, -2.0], [2.0, -2.0, -2.0], [0.0, 0.0, -3.0]])
    image = project([camera], torch.zeros(3, 7), points)[:, 0]
    assert torch.allclose(image, torch.tensor([[0.5, -0.25], [1.0, 1.0], [0.0, 0.0]]), atol=1e-6)


def test_points_behind_a_camera_are_nan_there_alone():
    front = CameraModel(60.0, "world", (0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0))
    turned = CameraModel(60.0, "world", (0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0))  # half a turn about x
    image = project([front, turned], torch.zeros(2, 7), torch.tensor([[0.1, 0.1, 0.0], [0.1, 0.1, 2.0]]))
    assert image[0, 0].isfinite().all() and image[0, 1].isnan().all()
    assert image[1, 0].isnan().all() and image[1, 1].isfinite().all()


def test_a_camera_on_the_end_effector_moves_with_it():
    camera = CameraModel(60.0, "eef", (0.05, 0.0, -0.1), (0.1, -0.2, 0.3, 0.927))
    fixed = CameraModel(60.0, "world", (0.05, 0.0, -0.1), (0.1, -0.2, 0.3, 0.927))
    first = np.array([0.3, 0.1, 1.0, *Rotation.from_euler("xyz", [3.0, 0.2, 0.5]).as_quat()])
    move = Rotation.from_euler("xyz", [0.4, -0.3, 1.0])
    turned = move * Rotation.from_quat(first[3:])
    second = np.concatenate([move.apply(first[:3]) + np.array([0.1, 0.2, 0.3]), turned.as_quat()])
    local = [0.1, 0.05, -0.5]  # in front of the camera, in the end effector's frame
    points = np.array([Rotation.from_quat(tip[3:]).apply(local) + tip[:3] for tip in (first, second)])
    tip, points = torch.from_numpy(np.stack([first, second])), torch.from_numpy(points)
    image = project([camera, fixed], tip, points)
    assert image[:, 0].isfinite().all() and torch.allclose(image[0, 0], image[1, 0], atol=1e-9)
    assert not torch.allclose(image[0, 0], project([camera], tip[:1], points[1:])[0, 0], atol=0.1)
    origins, axes = camera_poses([camera, fixed], tip)
    assert torch.equal(origins[0, 1], origins[1, 1]) and torch.equal(axes[0, 1], axes[1, 1])
    assert (origins[0, 0] - origins[1, 0]).norm() > 0.1


def test_without_any_weight_the_point_is_the_end_effector():
    cameras, tip = ring(3), START.float()
    image = torch.rand(1, 3, 2)
    assert torch.allclose(triangulate(cameras, tip, image, torch.zeros(1, 3)), tip[:, :3], atol=1e-6)


def test_views_count_by_their_weight():
    cameras, tip, point = ring(4), START, torch.tensor([[0.35, 0.1, 0.85]], dtype=torch.float64)
    image = project(cameras, tip, point)
    image[0, 2] += torch.tensor([0.4, -0.3])  # about 30 cm off
    weight = torch.ones(1, 4, dtype=torch.float64)
    moved = (triangulate(cameras, tip, image, weight) - point).norm()
    weight[0, 2] = 1e-3
    hardly = (triangulate(cameras, tip, image, weight) - point).norm()
    assert moved > 0.05 and hardly < 0.002


def test_the_prior_decides_along_a_single_ray():
    """One view leaves the depth open: the answer is the ray's point nearest to the end effector."""
    cameras, tip, point = ring(1), START, torch.tensor([[0.35, 0.1, 0.85]], dtype=torch.float64)
    found = triangulate(cameras, tip, project(cameras, tip, point), torch.ones(1, 1, dtype=torch.float64), 1e-6)
    origin = camera_poses(cameras, tip)[0][:, 0]
    ray = (point - origin) / (point - origin).norm()
    nearest = origin + ((tip[:, :3] - origin) * ray).sum() * ray
    assert torch.allclose(found, nearest, atol=1e-4)


def test_gradients_flow_through_triangulation():
    cameras, tip, point = ring(3), START, torch.tensor([[0.35, 0.1, 0.85]], dtype=torch.float64)
    image = project(cameras, tip, point) + 0.05 * torch.randn(1, 3, 2, generator=torch.Generator().manual_seed(0))
    weight = torch.tensor([[1.0, 0.5, 0.2]], dtype=torch.float64)
    image.requires_grad_()
    weight.requires_grad_()
    assert torch.autograd.gradcheck(lambda i, w: triangulate(cameras, tip, i, w), (image, weight))
    triangulate(cameras, tip, image, weight).square().sum().backward()
    assert (image.grad.abs() > 0).any(-1).all() and (weight.grad.abs() > 0).all()


def test_calibrations_are_checked_and_comparable():
    with pytest.raises(ValueError, match="'ceiling'"):
        CameraModel(60.0, "ceiling", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    assert CameraModel(60.0, "eef", [0, 1, 2], [0, 0, 0, 1]) == CameraModel(60.0, "eef", (0, 1, 2), (0, 0, 0, 1))
