"""Calibrated views read out at places around a point of space."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from model.anchor import Anchor
from model.cameras import CameraModel, project_all


def channels_first(images: UInt8[Tensor, "B V S S 3"]) -> Float[Tensor, "B V 3 S S"]:
    """Views as `colours_at` reads them, in -1 .. 1."""
    return images.movedim(-1, 2).float().div_(128).sub_(1)


@torch.no_grad()
def colours_at(
    cameras: tuple[CameraModel, ...],
    views: Float[Tensor, "B V 3 S S"],
    tip: Float[Tensor, "B 7"],
    frame: Anchor,
    places: Float[Tensor, "n 3"],
) -> Float[Tensor, "B V 4 n"]:
    """Colours in -1 .. 1 of every view, and whether the view covers the place.

    Args:
        cameras: The views' calibration.
        views: From `channels_first`.
        tip: End-effector pose, x y z (m), quaternion xyzw; it carries the wrist camera.
        frame: Around which point, and turned how.
        places: In the frame, m.
    """
    B, V = views.shape[:2]
    with torch.autocast(views.device.type, enabled=False):
        world = frame.point[:, None] + torch.einsum("bij,nj->bni", frame.axes, places)
        where = project_all(cameras, tip, world)
        seen = (where.abs() < 1).all(-1)
        grid = where.nan_to_num(nan=2.0).clamp(-2, 2).flatten(0, 1)[:, None]
        colours = F.grid_sample(views.flatten(0, 1), grid, padding_mode="zeros", align_corners=False)[:, :, 0]
        return torch.cat([colours.unflatten(0, (B, V)), seen[:, :, None].float()], dim=2)
