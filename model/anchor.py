"""Positions relative to the point that the encoder points at.

An encoder with calibrated cameras locates the next end-effector position in space (`EncoderOutput.point`). Objectives
then generate the positions of a chunk as offsets from that point, in units of `OFFSET_UNIT`: a trunk of a few million
parameters that has seen a few hundred scenes would otherwise learn them by heart instead of where they are seen. All
objectives share this; rotations, gripper and every other slot are untouched. Without a point nothing changes.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from model.actions import POSITION
from model.normalize import Normalizer

OFFSET_UNIT = 0.03  # m


def to_offsets(
    internal: Float[Tensor, "B *n 128"], point: Float[Tensor, "B 3"] | None, normalizer: Normalizer
) -> Float[Tensor, "B *n 128"]:
    """Internal chunks with positions as offsets from a point (world, m; no gradient flows to it)."""
    if point is None:
        return internal
    mean, std = _scales(internal, normalizer)
    metres = internal[..., POSITION] * std + mean
    offset = (metres - _like(point.detach(), internal)) / OFFSET_UNIT
    return torch.cat([offset, internal[..., POSITION.stop :]], dim=-1)


def from_offsets(
    internal: Float[Tensor, "B *n 128"], point: Float[Tensor, "B 3"] | None, normalizer: Normalizer
) -> Float[Tensor, "B *n 128"]:
    """The inverse of `to_offsets`."""
    if point is None:
        return internal
    mean, std = _scales(internal, normalizer)
    metres = internal[..., POSITION] * OFFSET_UNIT + _like(point, internal)
    return torch.cat([(metres - mean) / std, internal[..., POSITION.stop :]], dim=-1)


def _scales(like: Tensor, normalizer: Normalizer) -> tuple[Tensor, Tensor]:
    return like.new_tensor(normalizer.mean[POSITION]), like.new_tensor(normalizer.std[POSITION])


def _like(point: Float[Tensor, "B 3"], internal: Tensor) -> Tensor:
    return point.view(len(point), *([1] * (internal.ndim - 2)), 3).to(internal.dtype)
