"""What teaches an encoder with calibrated cameras to find the next end-effector position.

Four cross-entropies, over the cells of every view, over the square of the close look, over heights and over headings of
the hand, and two distances in space, of the point where the views meet and of the refined one. The target comes from
the demonstrated action and the calibration alone: no object poses.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from model.heading import headings, wrapped
from model.local import CELLS, HALF, level_heights
from model.observation import Places

SIGMA = 0.05  # image coordinates: 3.2 pixels of 128
CLOSE_SIGMA = 1 / (CELLS / 2)  # halves of a side: one cell
FAR_UNIT = 0.03  # m: below it an error of the point where the views meet counts by its square
CLOSE_UNIT = 0.01  # m: the same for the refined point


def places_loss(
    places: Places,
    image: Float[Tensor, "B V 2"],
    heights: tuple[float, float],
    goal: Float[Tensor, "B 3"],
    heading: Float[Tensor, " B"],
) -> tuple[Float[Tensor, ""], dict[str, float]]:
    """Loss of the places that an encoder found.

    Args:
        places: They.
        image: Where every view shows the next end-effector position (`model.cameras.project`); NaN behind a camera.
        heights: `EncoderConfig.heights`.
        goal: The next end-effector position, world, m.
        heading: Of the hand there (`model.anchor.heading_of`), rad in the world.

    Returns:
        The loss and, for the log, its parts `pointer`, `heat`, `level` and `turn`, and `point_cm` and `refined_cm`, the
        median errors of both points.
    """
    pointing = pointer_loss(places.pointer, image)
    miss, refined = (places.point - goal).norm(dim=-1), (places.refined - goal).norm(dim=-1)
    meeting = F.smooth_l1_loss(miss / FAR_UNIT, torch.zeros_like(miss))
    local = torch.einsum("bij,bi->bj", places.frame.axes, goal - places.frame.point) / HALF
    inside = (local[:, :2].abs() < 1).all(-1)
    finding = (heat_loss(places.heat, local[:, :2], CLOSE_SIGMA) * inside).mean()
    rising = (level_loss(places.level, goal[:, 2], heights) * inside).mean()
    turning = (turn_loss(places.turn, heading - places.frame.turn) * inside).mean()
    closing = (F.smooth_l1_loss(refined / CLOSE_UNIT, torch.zeros_like(refined), reduction="none") * inside).mean()
    metrics = {
        "pointer": pointing.item(),
        "heat": finding.item(),
        "level": rising.item(),
        "turn": turning.item(),
        "point_cm": 100 * miss.median().item(),
        "refined_cm": 100 * refined.median().item(),
    }
    return pointing + 0.1 * meeting + finding + rising + turning + 0.3 * closing, metrics


def heat_loss(logits: Float[Tensor, "*n cells"], place: Float[Tensor, "*n 2"], sigma: float) -> Float[Tensor, "*n"]:
    """Cross-entropy of a distribution over square cells against a Gaussian around a place.

    Args:
        logits: Over the cells, row by row.
        place: x right, y down, -1 .. 1.
        sigma: Of the Gaussian, in the same unit.
    """
    return -(gaussian_cells(place, logits.shape[-1], sigma) * logits.float().log_softmax(-1)).sum(-1)


def level_loss(
    logits: Float[Tensor, "B levels"], height: Float[Tensor, " B"], heights: tuple[float, float]
) -> Float[Tensor, " B"]:
    """Cross-entropy of a distribution over heights against a Gaussian of one step around a height.

    Args:
        logits: `Places.level`.
        height: m in the world.
        heights: Lowest and highest one, m.
    """
    levels = level_heights(heights).to(logits.device)
    goal = (-((levels - height[:, None]) / (levels[1] - levels[0])).square() / 2).softmax(-1)
    return -(goal * logits.float().log_softmax(-1)).sum(-1)


def turn_loss(logits: Float[Tensor, "B turns"], heading: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Cross-entropy of a distribution over headings against a Gaussian of one step around a heading, rad."""
    away = wrapped(headings(logits.device) - heading[:, None])
    goal = (-(away * (logits.shape[-1] / (2 * torch.pi))).square() / 2).softmax(-1)
    return -(goal * logits.float().log_softmax(-1)).sum(-1)


def gaussian_cells(place: Float[Tensor, "*n 2"], cells: int, sigma: float) -> Float[Tensor, "*n cells"]:
    """A Gaussian around a place as probabilities of square cells."""
    side = round(cells**0.5)
    centre = (torch.arange(side, device=place.device) + 0.5) * 2 / side - 1
    distance = (centre - place[..., None]).square() / (2 * sigma**2)  # [..., 2, side]
    return (-(distance[..., 0, None, :] + distance[..., 1, :, None])).flatten(-2).softmax(-1)


def pointer_loss(
    logits: Float[Tensor, "B V cells+1"], image: Float[Tensor, "B V 2"], sigma: float = SIGMA
) -> Float[Tensor, ""]:
    """Cross-entropy of the pointer against a Gaussian around the true place, or against "not in view".

    Args:
        logits: `Places.pointer`.
        image: Image coordinates of the point in every view (`model.cameras.project`); NaN behind a camera.
        sigma: Of the Gaussian, in image coordinates.
    """
    visible = (image.abs() < 1).all(-1)
    goal = gaussian_cells(image.nan_to_num(), logits.shape[-1] - 1, sigma)
    goal = torch.cat([goal * visible[..., None], ~visible[..., None]], dim=-1)
    return -(goal * logits.float().log_softmax(-1)).sum(-1).mean()
