"""Pinhole cameras with known poses: where a point appears, and which point several views agree on.

Shapes: B observations, V views. World coordinates in metres; image coordinates run from -1 to 1, x right, y down.
A camera's axes are right, up, backward (it looks along minus its third axis); quaternions are xyzw.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# Names of the proprioception entries that give the end effector's pose in the world: m, quaternion xyzw.
TIP_POSE = tuple(f"eef_{axis}" for axis in ("x", "y", "z", "qx", "qy", "qz", "qw"))


@dataclass(frozen=True)
class CameraModel:
    """A calibrated camera with a square image.

    Attributes:
        fov: Field of view, degrees.
        mount: "world", or "eef" for a camera that moves with the end effector.
        position: In the mount's frame, m.
        quaternion: Rotation of the camera's axes in the mount's frame, xyzw.
    """

    fov: float
    mount: str
    position: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        if self.mount not in ("world", "eef"):
            raise ValueError(f"a camera is mounted on 'world' or 'eef', not {self.mount!r}")
        # Lists come out of JSON.
        object.__setattr__(self, "position", tuple(self.position))
        object.__setattr__(self, "quaternion", tuple(self.quaternion))


def rotation_matrix(quaternion: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 3 3"]:
    """Rotation matrix of a unit quaternion xyzw."""
    x, y, z, w = quaternion.unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], dim=-1),
        torch.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], dim=-1),
        torch.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def camera_poses(
    cameras: Sequence[CameraModel], tip: Float[Tensor, "B 7"]
) -> tuple[Float[Tensor, "B V 3"], Float[Tensor, "B V 3 3"]]:
    """Position and axes (as columns) of every camera in the world.

    Args:
        cameras: The cameras.
        tip: Pose of the end effector: x y z (m), quaternion xyzw.
    """
    hand = rotation_matrix(tip[:, 3:])
    origins, axes = [], []
    for camera in cameras:
        position, matrix = tip.new_tensor(camera.position), rotation_matrix(tip.new_tensor(camera.quaternion))
        if camera.mount == "eef":
            origins.append(tip[:, :3] + hand @ position)
            axes.append(hand @ matrix)
        else:
            origins.append(position.expand(len(tip), 3))
            axes.append(matrix.expand(len(tip), 3, 3))
    return torch.stack(origins, dim=1), torch.stack(axes, dim=1)


def _half_widths(cameras: Sequence[CameraModel], like: Tensor) -> Float[Tensor, " V"]:
    return torch.tan(torch.deg2rad(like.new_tensor([camera.fov for camera in cameras])) / 2)


def project(
    cameras: Sequence[CameraModel], tip: Float[Tensor, "B 7"], points: Float[Tensor, "B 3"]
) -> Float[Tensor, "B V 2"]:
    """Image coordinates of a point in every view; NaN where it lies behind the camera."""
    return project_all(cameras, tip, points[:, None])[:, :, 0]


def project_all(
    cameras: Sequence[CameraModel], tip: Float[Tensor, "B 7"], points: Float[Tensor, "B n 3"]
) -> Float[Tensor, "B V n 2"]:
    """Image coordinates of several points in every view; NaN where one lies behind the camera."""
    origins, axes = camera_poses(cameras, tip)
    local = torch.einsum("bvij,bvni->bvnj", axes, points[:, None] - origins[:, :, None])
    depth = -local[..., 2]
    image = torch.stack([local[..., 0], -local[..., 1]], dim=-1) / depth[..., None]
    image = image / _half_widths(cameras, tip)[:, None, None]
    return torch.where(depth[..., None] > 1e-3, image, torch.nan)


def triangulate(
    cameras: Sequence[CameraModel],
    tip: Float[Tensor, "B 7"],
    image: Float[Tensor, "B V 2"],
    weight: Float[Tensor, "B V"],
    prior: float = 1e-3,
) -> Float[Tensor, "B 3"]:
    """The point nearest to the views' rays, in weighted least squares.

    Args:
        cameras: The cameras.
        tip: Pose of the end effector: x y z (m), quaternion xyzw.
        image: Where each view sees the point.
        weight: Of each view's ray, >= 0.
        prior: Weight of the end effector's own position, which decides where no view sees anything.
    """
    origins, axes = camera_poses(cameras, tip)
    half = _half_widths(cameras, tip)[:, None]
    local = torch.cat([image * half * image.new_tensor([1.0, -1.0]), -torch.ones_like(image[..., :1])], dim=-1)
    ray = torch.einsum("bvij,bvj->bvi", axes, torch.nn.functional.normalize(local, dim=-1))
    eye = torch.eye(3, device=image.device)
    across = weight[..., None, None] * (eye - ray[..., :, None] * ray[..., None, :])
    matrix = across.sum(1) + prior * eye
    vector = (across @ origins[..., None]).sum(1)[..., 0] + prior * tip[:, :3]
    return torch.linalg.solve(matrix, vector)
