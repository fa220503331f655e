"""Random shifts, turns and zooms of camera views, with a map from what is seen to where the calibration puts it.

What is recognised in one place of a view should be recognised in another. Views of calibrated cameras cannot simply be
cropped, because each pixel stands for a ray; but the ray of a pixel of a moved view is known too.
"""

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

SHIFT = 0.12  # halves of a side: largest shift along each axis
TURN = math.radians(10)
ZOOM = 0.15  # largest change of the logarithm of the scale


def random_warps(count: int, views: int, size: float, rng: torch.Generator) -> Float[Tensor, "B V 2 3"]:
    """Maps from image coordinates of moved views to those of the views as they were.

    Args:
        count: Observations.
        views: Of each.
        size: As a share of the largest shift, turn and zoom.
        rng: Decides.
    """
    x, y, turn, zoom = (2 * torch.rand((4, count, views), generator=rng) - 1) * size
    scale, angle = torch.exp(ZOOM * zoom), TURN * turn
    c, s = scale * angle.cos(), scale * angle.sin()
    return torch.stack([c, -s, SHIFT * x, s, c, SHIFT * y], dim=-1).unflatten(-1, (2, 3))


def warped(images: UInt8[Tensor, "B V S S 3"], maps: Float[Tensor, "B V 2 3"]) -> UInt8[Tensor, "B V S S 3"]:
    """The moved views: of every pixel the nearest one there was (sharp as at inference). Their edges are repeated."""
    size = images.shape[2]
    line = (torch.arange(size, device=images.device) + 0.5) * 2 / size - 1
    xx, xy, x, yx, yy, y = maps.flatten(0, 1).flatten(1)[..., None, None].unbind(1)
    across = xx * line + (xy * line[:, None] + x)
    down = yx * line + (yy * line[:, None] + y)
    column, row = (((place + 1) * (size / 2)).int().clamp_(0, size - 1) for place in (across, down))
    view = torch.arange(len(row), dtype=torch.int32, device=images.device)[:, None, None]
    return images.reshape(-1, 3).index_select(0, ((view * size + row) * size + column).flatten()).view(images.shape)


def in_warped(image: Float[Tensor, "B V 2"], maps: Float[Tensor, "B V 2 3"]) -> Float[Tensor, "B V 2"]:
    """Where points of the views as they were appear in the moved ones. NaN stays NaN."""
    return torch.linalg.solve(maps[..., :2], (image - maps[..., 2])[..., None])[..., 0]
