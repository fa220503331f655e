"""Where in space the pointers of several views meet.

Every view tells where it takes the next end-effector position to be; two similar objects make two places, and views
may disagree which is the better one. Rays to different objects do not meet. So candidates are made, where the rays of
two views' best places pass each other, and the one that all views together find likeliest is taken.

Shapes: B observations, V views, N cells a side of a view's map.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, product

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from model.cameras import CameraModel, project_all, triangulate

WINDOW = 0.22  # image coordinates: three cells of 32 to either side of a place
VARIANCE = 0.01  # image coordinates squared: (6 pixels of 128)^2, about that of a confident pointer
PEAKS = 3  # places of a view that candidates are made of
FLOOR = 1e-4  # probability of a cell that a view rules out: one view alone must not veto a point
OUT = 1 / 16  # of not being in view, which is one answer where being in view is many cells


def meeting_point(
    cameras: Sequence[CameraModel],
    logits: Float[Tensor, "B V cells+1"],
    tip: Float[Tensor, "B 7"],
    grid: Float[Tensor, "cells 2"],
    gain: Float[Tensor, " V"],
    maps: Float[Tensor, "B V 2 3"] | None = None,
    chosen: Float[Tensor, "B 3"] | None = None,
) -> Float[Tensor, "B 3"]:
    """The point, world, m. Views that do not see it, or are unsure, count less.

    Args:
        cameras: The views' calibration.
        logits: See `Places.pointer`.
        tip: End-effector pose, x y z (m), quaternion xyzw.
        grid: The cells' image coordinates.
        gain: How much each view counts, as a logarithm.
        maps: From image coordinates of the views that were looked at to those of the calibration, where training had
            moved the views. No candidates are compared then.
        chosen: Candidate to go by; the likeliest when left out.
    """
    heat = logits.float().softmax(-1)
    centre = grid[heat[..., :-1].argmax(-1)]
    if maps is None and len(cameras) > 1:
        with torch.no_grad():
            if chosen is None:
                points, likelihood = candidates(cameras, logits, tip, grid)
                chosen = points[torch.arange(len(points), device=points.device), likelihood.argmax(-1)]
            shown = project_all(cameras, tip, chosen[:, None])[:, :, 0]
        centre = torch.where((shown.abs() < 1).all(-1, keepdim=True), shown, centre)
    near = ((grid - centre[..., None, :]).abs().amax(-1) < WINDOW) * heat[..., :-1]
    mass = near.sum(-1)
    image = (near / mass[..., None].clamp(min=1e-9)) @ grid
    offset = (grid - image.detach()[..., None, :]).square().sum(-1)
    variance = (near * offset).sum(-1) / mass.clamp(min=1e-6)
    weight = mass * gain.exp() / (1 + variance / VARIANCE)
    if maps is not None:
        image = torch.einsum("bvij,bvj->bvi", maps[..., :2], image) + maps[..., 2]
    return triangulate(cameras, tip, image, weight)


@torch.no_grad()
def candidates(
    cameras: Sequence[CameraModel],
    logits: Float[Tensor, "B V cells+1"],
    tip: Float[Tensor, "B 7"],
    grid: Float[Tensor, "cells 2"],
) -> tuple[Float[Tensor, "B n 3"], Float[Tensor, "B n"]]:
    """The points where rays of two views' best places pass each other, and their log-likelihood in all views."""
    heat = logits.float().softmax(-1)
    B, V = heat.shape[:2]
    chosen, weight = (part.to(heat.device) for part in _pairs(V))
    n = len(chosen)
    images = _peaks(heat[..., :-1], grid)[:, torch.arange(V, device=heat.device), chosen]
    tips, weights = tip[:, None].expand(-1, n, -1), weight.expand(B, -1, -1)
    points = triangulate(cameras, tips.flatten(0, 1), images.flatten(0, 1), weights.flatten(0, 1)).unflatten(0, (B, n))

    where = project_all(cameras, tip, points)
    side = round(len(grid) ** 0.5)
    maps = heat[..., :-1].reshape(B * V, 1, side, side)
    at = where.nan_to_num(nan=2.0).clamp(-2, 2).flatten(0, 1)[:, None]
    cell = F.grid_sample(maps, at, padding_mode="border", align_corners=False)[:, 0, 0].unflatten(0, (B, V))
    likelihood = torch.where((where.abs() < 1).all(-1), cell, OUT * heat[..., -1:])
    return points, (likelihood + FLOOR).log().sum(1)


@lru_cache(maxsize=4)
def _pairs(views: int) -> tuple[Int64[Tensor, "n V"], Float[Tensor, "n V"]]:
    """For every pair of views and of their peaks: the peak of each view, and which views count."""
    chosen, weight = [], []
    for first, second in combinations(range(views), 2):
        for peaks in product(range(PEAKS), repeat=2):
            row = torch.zeros(views, dtype=torch.long)
            row[[first, second]] = torch.tensor(peaks)
            chosen.append(row)
            counts = torch.zeros(views)
            counts[[first, second]] = 1.0
            weight.append(counts)
    return torch.stack(chosen), torch.stack(weight)


def _peaks(heat: Float[Tensor, "B V cells"], grid: Float[Tensor, "cells 2"]) -> Float[Tensor, "B V peaks 2"]:
    """The best places of every view that are no neighbours."""
    places = []
    for _ in range(PEAKS):
        best = grid[heat.argmax(-1)]
        near = (grid - best[..., None, :]).abs().amax(-1) < WINDOW
        places.append(((near * heat) / (near * heat).sum(-1, keepdim=True).clamp(min=1e-9)) @ grid)
        heat = heat * ~near
    return torch.stack(places, dim=2)
