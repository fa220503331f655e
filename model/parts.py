"""Parts that the small encoder is made of."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.trunk import SelfAttention, SwiGLU


class Layer(nn.Module):
    """Pre-norm transformer layer over tokens without order (order comes from their embeddings)."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.norm_attention, self.norm_ffn = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, rotary=False)
        self.ffn = SwiGLU(width, 2 * width)

    def forward(self, x: Float[Tensor, "B L E"], mask: Bool[Tensor, "B 1 1 L"]) -> Float[Tensor, "B L E"]:
        """Attends where `mask` is true."""
        x = x + self.attention(self.norm_attention(x), mask)
        return x + self.ffn(self.norm_ffn(x))


class Residual(nn.Module):
    """Two-layer residual unit, 3 x 3 then 1 x 1, modulated by the condition between them."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1)
        self.mix = nn.Conv2d(channels, channels, 1)
        self.modulation = nn.Linear(condition, 2 * channels)

    def forward(self, x: Float[Tensor, "n C h w"], condition: Float[Tensor, "n E"]) -> Float[Tensor, "n C h w"]:
        """Modulates every map by its condition."""
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.spatial(self.norm(x).to(x.dtype))
        return x + self.mix(F.gelu(torch.addcmul(shift, h, 1 + scale)))


def pixel_grid(cells: int) -> Float[Tensor, "cells*cells 2"]:
    """Cell centres (x right, y down) in -1 .. 1, row by row."""
    line = (torch.arange(cells) + 0.5) * 2 / cells - 1
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).reshape(-1, 2)


def fourier(x: Float[Tensor, "*n d"], octaves: int = 4) -> Float[Tensor, "*n d*(2*octaves+1)"]:
    """A coordinate with its sines and cosines: keeps fine differences visible to layers that run in bfloat16."""
    angle = (x[..., None] * (torch.pi * 2.0 ** torch.arange(octaves, device=x.device))).flatten(-2)
    return torch.cat([x, angle.sin(), angle.cos()], dim=-1)


def expected_place(
    heat: Float[Tensor, "*n cells"], grid: Float[Tensor, "cells d"], window: float | Tensor
) -> Float[Tensor, "*n d"]:
    """Mean of a distribution over cells, around its best cell alone.

    A second candidate elsewhere must not pull the estimate between the two.

    Args:
        heat: Probabilities; need not sum to one.
        grid: Coordinates of the cells.
        window: Cells count whose coordinates differ by less than this from the best cell's.
    """
    best = grid[heat.argmax(-1)]
    near = ((grid - best[..., None, :]).abs().amax(-1) < window) * heat
    return (near / near.sum(-1, keepdim=True).clamp(min=1e-9)) @ grid
