"""Calibrated views read out at places around a point of space."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from model.anchor import Anchor
from model.cameras import CameraModel, project_all


@torch.no_grad()
def colours_at(
    cameras: tuple[CameraModel, ...],
    images: UInt8[Tensor, "B V S S 3"],
    tip: Float[Tensor, "B 7"],
    frame: Anchor,
    places: Float[Tensor, "n 3"],
) -> Float[Tensor, "B V 4 n"]:
    """Colours in -1 .. 1 of every view, and whether the view covers the place.

    Args:
        cameras: The views' calibration.
        images: The views.
        tip: End-effector pose, x y z (m), quaternion xyzw; it carries the wrist camera.
        frame: Around which point, and turned how.
        places: In the frame, m.
    """
    B, V = images.shape[:2]
    with torch.autocast(images.device.type, enabled=False):
        world = frame.point[:, None] + torch.einsum("bij,nj->bni", frame.axes, places)
        where = project_all(cameras, tip, world)
        seen = (where.abs() < 1).all(-1)
        views = images.permute(0, 1, 4, 2, 3).flatten(0, 1).float().div_(128).sub_(1)
        grid = where.nan_to_num(nan=2.0).clamp(-2, 2).flatten(0, 1)[:, None]
        colours = F.grid_sample(views, grid, padding_mode="zeros", align_corners=False)[:, :, 0]
        return torch.cat([colours.unflatten(0, (B, V)), seen[:, :, None].float()], dim=2)
