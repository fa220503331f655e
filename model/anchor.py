"""Positions and rotations relative to the place that the encoder points at.

An encoder with calibrated cameras locates the next end-effector position in space (`Places.refined`). Objectives
then generate the positions of a chunk as offsets from that point, in units of `OFFSET_UNIT`, and rotations relative to
a heading: a trunk of a few million parameters that has seen a few hundred scenes would otherwise learn them by heart
instead of where they are seen. In training the frame is moved and turned at random (`disturbed`), at inference its
heading is zero. All objectives share this; gripper and every other slot are untouched. Without an anchor nothing
changes.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from model.actions import POSITION
from model.normalize import ROTATION_6D, Normalizer

OFFSET_UNIT = 0.01  # m
SHIFT = 0.015  # m: standard deviation of the random moves of the close look, the pointer's error on new scenes


class Anchor(NamedTuple):
    """The frame in which positions and rotations of a chunk are generated.

    Attributes:
        point: Origin, world, m.
        turn: Heading about the vertical, rad.
    """

    point: Float[Tensor, "B 3"]
    turn: Float[Tensor, " B"]

    @property
    def axes(self) -> Float[Tensor, "B 3 3"]:
        """The frame's axes as columns, world."""
        zero, one = torch.zeros_like(self.turn), torch.ones_like(self.turn)
        c, s = self.turn.cos(), self.turn.sin()
        return torch.stack([c, -s, zero, s, c, zero, zero, zero, one], dim=-1).unflatten(-1, (3, 3))


def heading_of(axes: Float[Tensor, "*n 6"]) -> Float[Tensor, "*n"]:
    """How far a hand is turned about the vertical from pointing straight down with its x axis backwards, rad.

    The twist about the vertical of its rotation, which tilting changes little. (Of a hand that points straight up it is
    not defined; some value comes out.)

    Args:
        axes: The first two columns of its rotation matrix.
    """
    x1, y1, _, x2, y2, _ = axes.unbind(-1)
    return torch.atan2(-y1 - x2, y2 - x1)


def disturbed(point: Float[Tensor, "B 3"], rng: torch.Generator) -> Anchor:
    """An anchor near a point, with a random heading. No gradient flows to the point."""
    noise = torch.randn((len(point), 3), generator=rng, device=rng.device).to(point.device)
    turn = torch.rand(len(point), generator=rng, device=rng.device).to(point.device)
    return Anchor(point.detach() + SHIFT * noise, (2 * turn - 1) * torch.pi)


def upright(point: Float[Tensor, "B 3"]) -> Anchor:
    """The anchor at a point, along the world's axes. No gradient flows to the point."""
    return Anchor(point.detach(), torch.zeros_like(point[:, 0]))


def to_offsets(
    internal: Float[Tensor, "B *n 128"], anchor: Anchor | None, normalizer: Normalizer
) -> Float[Tensor, "B *n 128"]:
    """Internal chunks with positions and rotations in an anchor's frame."""
    if anchor is None:
        return internal
    mean, std = _scales(internal, normalizer)
    metres = internal[..., POSITION] * std + mean
    offset = (metres - _like(anchor.point, internal)) / OFFSET_UNIT
    return _turned(_replaced(internal, offset), anchor.axes.mT)


def from_offsets(
    internal: Float[Tensor, "B *n 128"], anchor: Anchor | None, normalizer: Normalizer
) -> Float[Tensor, "B *n 128"]:
    """The inverse of `to_offsets`."""
    if anchor is None:
        return internal
    mean, std = _scales(internal, normalizer)
    internal = _turned(internal, anchor.axes)
    metres = internal[..., POSITION] * OFFSET_UNIT + _like(anchor.point, internal)
    return _replaced(internal, (metres - mean) / std)


def _turned(internal: Tensor, axes: Float[Tensor, "B 3 3"]) -> Tensor:
    """Positions (in the anchor's units) and the two columns of the rotation, multiplied by a matrix."""
    vectors = torch.cat([internal[..., POSITION], internal[..., ROTATION_6D]], dim=-1).unflatten(-1, (3, 3))
    turned = torch.einsum("bij,b...kj->b...ki", axes.to(internal.dtype), vectors)
    internal = internal.clone()
    internal[..., POSITION] = turned[..., 0, :]
    internal[..., ROTATION_6D] = turned[..., 1:, :].flatten(-2)
    return internal


def _replaced(internal: Tensor, position: Tensor) -> Tensor:
    return torch.cat([position, internal[..., POSITION.stop :]], dim=-1)


def _scales(like: Tensor, normalizer: Normalizer) -> tuple[Tensor, Tensor]:
    return like.new_tensor(normalizer.mean[POSITION]), like.new_tensor(normalizer.std[POSITION])


def _like(point: Float[Tensor, "B 3"], internal: Tensor) -> Tensor:
    return point.view(len(point), *([1] * (internal.ndim - 2)), 3).to(internal.dtype)
