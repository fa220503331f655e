"""A close look: the views resampled around a point of space, as seen from straight above it.

Shapes: B observations, V views, S image size, N cells a side, E encoder width.

An encoder that has pointed at a place (`Places.point`) looks again, closely: horizontal squares around the point, at
several heights, are read out of every view through its calibration. What lies there appears at the same scale and
heading wherever on the table it is. A small convolutional network finds the place again, now finely (a heat map over
the square, and one over heights), and sums up what it sees in a few tokens; circles around that place tell how the hand
has to be turned (`model.heading`). Training moves and turns the squares at
random, and the target with them (`model.anchor`): places and headings are learned from what is seen in the square, not
from where on the table a scene was. (Coarse place, then a zoom: as RVT-2, arXiv:2406.08545, does with rendered views.)
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.anchor import Anchor
from model.cameras import CameraModel, rotation_matrix
from model.heading import HeadingView, best_heading
from model.parts import Residual, expected_place, pixel_grid
from model.views import channels_first, colours_at

CELLS = 32
CELL = 0.005  # m
HALF = CELLS * CELL / 2  # m: half a side of the square
# Heights of the squares above the point, m: before it grasps, the hand points at free air above the object.
PLANES = (0.0, -0.04, -0.08, -0.12)
TOKENS = 4
WINDOW = 3.5 / (CELLS / 2)  # in halves of a side: three cells to either side of the best one
_REACH = 0.3  # m: unit of the hand's place
_UNIT = 0.03  # m: unit of the place that is found
LEVELS = 128  # heights that are told apart
LEVEL_WINDOW = 3.5  # steps of height: three to either side of the best one
_TRUST = 0.02  # m: how far the point's own height is believed, a little above the random moves of training
_CHANNELS = (32, 64, 96)


class CloseLook(NamedTuple):
    """What a close look finds.

    Attributes:
        heat: Unnormalised log-probability over the cells, row by row.
        level: Unnormalised log-probability over `LEVELS` heights.
        turn: Of headings of the hand; see `HeadingView`.
        anchor: The refined point and the best heading, in the world.
        tokens: What lies around it.
    """

    heat: Float[Tensor, "B N*N"]
    level: Float[Tensor, "B levels"]
    turn: Float[Tensor, "B turns"]
    anchor: Anchor
    tokens: Float[Tensor, "B tokens E"]


def level_heights(heights: tuple[float, float]) -> Float[Tensor, "levels"]:
    """The heights that are told apart, m in the world."""
    return torch.linspace(heights[0], heights[1], LEVELS)


class LocalView(nn.Module):
    """The close look's network.

    Args:
        cameras: The views' calibration.
        width: Size of the tokens.
        heights: Lowest and highest place that is looked for, m in the world.
    """

    def __init__(self, cameras: tuple[CameraModel, ...], width: int, heights: tuple[float, float]) -> None:
        super().__init__()
        self.cameras = cameras
        fine, middle, coarse = _CHANNELS
        self.enter = nn.Conv2d(4 * len(cameras) * len(PLANES), fine, 3, padding=1)
        self.down = nn.ModuleList([nn.Conv2d(fine, middle, 2, stride=2), nn.Conv2d(middle, coarse, 2, stride=2)])
        self.units = nn.ModuleList(Residual(channels, width + 2) for channels in _CHANNELS)
        self.up = nn.ModuleList([nn.Conv2d(coarse, middle, 1), nn.Conv2d(middle, fine, 1)])
        self.merge = nn.ModuleList(Residual(channels, width + 2) for channels in (middle, fine))
        self.heat = nn.Conv2d(fine, 1, 1)
        self.narrow = nn.Conv2d(coarse, 8, 1)
        self.wide = nn.Linear(8 * (CELLS // 4) ** 2, (TOKENS - 1) * width)
        self.here = nn.Linear(sum(_CHANNELS), width)
        # Heights are told apart as absolute ones: what is sought often has one, wherever on the table it is.
        self.level = nn.Sequential(nn.Linear(3 * width, width), nn.SiLU(), nn.Linear(width, LEVELS))
        self.turn = HeadingView(cameras, width, PLANES)
        self.hand = nn.Sequential(nn.Linear(3 + 3 + 6 + 4, width), nn.SiLU(), nn.Linear(width, TOKENS * width))
        self.register_buffer("grid", pixel_grid(CELLS), persistent=False)
        self.grid: Tensor
        self.register_buffer("heights", level_heights(heights), persistent=False)
        self.heights: Tensor

    def forward(
        self,
        images: UInt8[Tensor, "B V S S 3"],
        tip: Float[Tensor, "B 7"],
        frame: Anchor,
        goal: Float[Tensor, "B E"],
    ) -> CloseLook:
        """Looks at the squares around a point.

        Args:
            images: The views.
            tip: End-effector pose, x y z (m), quaternion xyzw.
            frame: Where to look, and the heading of the squares.
            goal: What is sought.
        """
        views = channels_first(images)
        heading = torch.stack([frame.turn.sin(), frame.turn.cos()], dim=-1)
        # The heading tells in which direction each camera sees things below or above a square displaced.
        condition = torch.cat([goal, heading.to(goal.dtype)], dim=-1)
        fine = self.units[0](self.enter(self.resample(views, tip, frame)), condition)
        middle = self.units[1](self.down[0](fine), condition)
        coarse = self.units[2](self.down[1](middle), condition)
        middle = self.merge[0](middle + F.interpolate(self.up[0](coarse), scale_factor=2), condition)
        fine = self.merge[1](fine + F.interpolate(self.up[1](middle), scale_factor=2), condition)

        logits = self.heat(fine).flatten(1).float()
        heat = logits.softmax(-1)
        wide = self.wide(F.gelu(self.narrow(coarse)).flatten(1))
        here = self.here(torch.cat([_at(heat, level) for level in (fine, middle, coarse)], dim=-1))
        with torch.autocast(images.device.type, enabled=False):
            seen = torch.cat([wide[:, : here.shape[1]], here, goal], dim=-1).float()
            away = self.heights - frame.point[:, 2:]
            level = self.level(seen) - away.square() / (2 * _TRUST**2)
            window = LEVEL_WINDOW * (self.heights[1] - self.heights[0])
            height = expected_place(level.softmax(-1), self.heights[:, None], window) - frame.point[:, 2:]
            place = torch.cat([HALF * expected_place(heat, self.grid, WINDOW), height], dim=-1)
            point = frame.point + torch.einsum("bij,bj->bi", frame.axes, place)
        turn = self.turn(views, tip, Anchor(point.detach(), frame.turn), goal)
        with torch.autocast(images.device.type, enabled=False):
            angle = best_heading(turn.detach())
            anchor = Anchor(point.detach(), frame.turn + angle)
            # Where the hand is and how it is turned, seen from the anchor; and how the squares were turned.
            hand = torch.einsum("bij,bi->bj", anchor.axes, tip[:, :3] - anchor.point) / _REACH
            held = torch.einsum("bij,bik->bkj", anchor.axes, rotation_matrix(tip[:, 3:])[:, :, :2]).flatten(1)
            turned = torch.stack([angle.sin(), angle.cos()], dim=-1)
            state = self.hand(torch.cat([hand, place.detach() / _UNIT, held, heading, turned], dim=-1))
        tokens = torch.cat([wide, here], dim=-1) + state
        return CloseLook(logits, level, turn, Anchor(point, anchor.turn), tokens.unflatten(-1, (TOKENS, -1)))

    def resample(
        self, views: Float[Tensor, "B V 3 S S"], tip: Float[Tensor, "B 7"], frame: Anchor
    ) -> Float[Tensor, "B c N N"]:
        """Colours in -1 .. 1 of every view and square, and whether the view covers the place; no gradient.

        Args:
            views: The views (`model.views.channels_first`).
            tip: See `forward`.
            frame: See `forward`.
        """
        flat = F.pad(HALF * self.grid, (0, 1))
        places = torch.cat([flat + flat.new_tensor([0.0, 0.0, height]) for height in PLANES])
        colours = colours_at(self.cameras, views, tip, frame, places)
        return colours.unflatten(-1, (len(PLANES), CELLS, CELLS)).transpose(2, 3).flatten(1, 3)


def _at(heat: Float[Tensor, "B N*N"], features: Float[Tensor, "B C n n"]) -> Float[Tensor, "B C"]:
    """Features of the place that was found, of a map as fine as the heat or coarser."""
    mass = heat.unflatten(-1, (1, CELLS, CELLS))
    mass = F.avg_pool2d(mass, CELLS // features.shape[-1], divisor_override=1)
    return (mass.to(features.dtype).flatten(1)[:, None] @ features.flatten(2).mT)[:, 0]
