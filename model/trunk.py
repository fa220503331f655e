"""The trunk that every objective trains: a small transformer from noise (or a noised chunk) to an action chunk.

Shapes: B observations, G samples of each, T time steps, L context tokens, W width, D input size.

The context is projected to keys and values once an observation (`Trunk.prepare`); samples and denoising steps reuse
it. Input enters twice, as tokens and, averaged over time, through the modulation of every block.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.attention import SDPBackend, sdpa_kernel

from model.actions import ACTION_DIM

EMBODIMENT_IDS = 64  # rows of the embodiments' table: ids in use and room for more
SCALAR_FEATURES = 256


@dataclass(frozen=True)
class TrunkConfig:
    """Sizes of a trunk.

    Attributes:
        context_dim: Size of the encoder's tokens.
        input_dim: Size of one time step of the input: of the noise, or of a noised action.
        horizon: Longest chunk, time steps.
        width: Model width.
        blocks: Number of adaLN blocks.
        heads: Attention heads.
        ffn: Hidden size of the blocks' SwiGLU.
        cross_layers: Number of cross-attention layers in front of the blocks.
        cross_ffn: Hidden size of their SwiGLU.
        time_embedding: The objective conditions on a time in [0, 1] (diffusion, flow).
        guidance_embedding: The trunk conditions on a guidance scale.
    """

    context_dim: int
    input_dim: int = 64
    horizon: int = 2
    width: int = 256
    blocks: int = 6
    heads: int = 8
    ffn: int = 448
    cross_layers: int = 2
    cross_ffn: int = 64
    time_embedding: bool = False
    guidance_embedding: bool = False


BASE = TrunkConfig(
    context_dim=2048, horizon=16, width=768, blocks=12, heads=12, ffn=2048, cross_ffn=2048, guidance_embedding=True
)


class Context(NamedTuple):
    """One batch of encoded observations, ready for any number of trunk calls.

    Attributes:
        keys_values: For each cross-attention layer its keys and values, each [B, heads, L, head size].
        mask: [B, 1, 1, L], true where a token is real.
        embedding: [B, W], pooled context plus the embodiment's embedding.
    """

    keys_values: tuple[tuple[Tensor, Tensor], ...]
    mask: Bool[Tensor, "B 1 1 L"]
    embedding: Float[Tensor, "B W"]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention, where `mask` is true.

    On a CPU the unfused form is three times as fast as torch's kernel for long sequences (8 queries, 86 keys).
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def head_norm(x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """RMS normalisation of queries or keys over a head's entries (QK-norm), without weights."""
    return F.rms_norm(x, x.shape[-1:], None, 1e-6)


class SwiGLU(nn.Module):
    """Gated feed-forward layer, without biases."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Float[Tensor, "*n W"]) -> Float[Tensor, "*n W"]:
        """Maps every vector on its own."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


def rotate(x: Float[Tensor, "n h T d"], base: float = 10_000.0) -> Float[Tensor, "n h T d"]:
    """Rotary position embedding over the second last axis."""
    steps, half = x.shape[-2], x.shape[-1] // 2
    frequency = base ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = torch.arange(steps, device=x.device, dtype=torch.float32)[:, None] * frequency
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class SelfAttention(nn.Module):
    """Self-attention with QK-norm; rotary positions on request, and a mask over keys."""

    def __init__(self, width: int, heads: int, rotary: bool = True) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "n T W"], mask: Bool[Tensor, "n 1 1 T"] | None = None) -> Float[Tensor, "n T W"]:
        """Attends over the second last axis, where `mask` is true."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = head_norm(q), head_norm(k)
        if self.rotary:
            q, k = rotate(q), rotate(k)
        return self.out(attend(q, k, v, mask).transpose(1, 2).flatten(-2))


class CrossLayer(nn.Module):
    """Cross-attention on the context, then SwiGLU, both residual."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_x, self.norm_ffn = nn.LayerNorm(width), nn.LayerNorm(width, elementwise_affine=False)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.ffn = SwiGLU(width, hidden)

    def project(self, tokens: Float[Tensor, "B L W"]) -> tuple[Tensor, Tensor]:
        """Keys and values of the context, each [B, heads, L, head size]."""
        k, v = self.key_value(tokens).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return head_norm(k), v

    def forward(self, x: Float[Tensor, "B N W"], keys_values: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """Attends from x to a projected context, where `mask` is true."""
        k, v = keys_values
        q = self.query(self.norm_x(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        attended = attend(head_norm(q), k, v, mask).transpose(1, 2).flatten(-2)
        x = x + self.out(attended)
        return x + self.ffn(self.norm_ffn(x))


class Block(nn.Module):
    """adaLN-Zero block: self-attention over the chunk and SwiGLU, shifted, scaled and gated by the condition."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False)
        self.norm_ffn = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = SelfAttention(width, heads)
        self.ffn = SwiGLU(width, hidden)
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Float[Tensor, "n T W"], condition: Float[Tensor, "n W"]) -> Float[Tensor, "n T W"]:
        """Every sequence is modulated by its own condition."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = self.modulation(condition)[:, None].chunk(6, dim=-1)
        x = x + gate_a * self.attention(self.norm_attention(x) * (1 + scale_a) + shift_a)
        return x + gate_f * self.ffn(self.norm_ffn(x) * (1 + scale_f) + shift_f)


def scalar_features(scalar: Float[Tensor, "..."], size: int = SCALAR_FEATURES) -> Float[Tensor, "... {size}"]:
    """Sinusoids of a number of about 0 .. 1."""
    frequency = 1000.0 * torch.exp(-math.log(10_000.0) * torch.arange(size // 2, device=scalar.device) / (size // 2))
    angle = scalar[..., None].float() * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def _scalar_embedding(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(SCALAR_FEATURES, width), nn.SiLU(), nn.Linear(width, width))


class Trunk(nn.Module):
    """Input chunk and context to output chunk; see the head of this file."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.context_in = nn.Sequential(nn.Linear(config.context_dim, width), nn.LayerNorm(width))
        self.input = nn.Sequential(nn.Linear(config.input_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.position = nn.Parameter(0.02 * torch.randn(config.horizon, width))
        self.input_condition = nn.Linear(width, width)
        self.embodiment = nn.Embedding(EMBODIMENT_IDS, width)
        nn.init.normal_(self.embodiment.weight, std=0.02)
        self.time = _scalar_embedding(width) if config.time_embedding else None
        self.guidance = _scalar_embedding(width) if config.guidance_embedding else None
        self.cross = nn.ModuleList(
            CrossLayer(width, config.heads, config.cross_ffn) for _ in range(config.cross_layers)
        )
        self.blocks = nn.ModuleList(Block(width, config.heads, config.ffn) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, ACTION_DIM))
        self._start_diverse()

    def _start_diverse(self) -> None:
        """Gives input and head layers a gain that makes the samples of an untrained trunk differ by about one.

        Drifting needs it: samples that start close together do not repel each other, and stay at the average answer.
        """
        for layer in (*self.input, self.input_condition, *self.head):
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=1.5 * layer.in_features**-0.5)
                nn.init.zeros_(layer.bias)

    def prepare(
        self, tokens: Float[Tensor, "B L C"], mask: Bool[Tensor, "B L"], embodiment: Int[Tensor, " B"]
    ) -> Context:
        """Projects encoded observations once, for any number of samples and steps.

        Args:
            tokens: The encoder's token sequence.
            mask: True where a token is real.
            embodiment: `Embodiment.id` of each observation.
        """
        # A backbone may compute in bfloat16 where nothing is cast for it.
        context = self.context_in(tokens.to(self.position.dtype))
        weight = mask[..., None].to(context.dtype)
        pooled = (context * weight).sum(1) / weight.sum(1).clamp(min=1)
        return Context(
            tuple(layer.project(context) for layer in self.cross),  # type: ignore[operator]
            mask[:, None, None],
            pooled + self.embodiment(embodiment),
        )

    def forward(
        self,
        x: Float[Tensor, "B G T D"],
        context: Context,
        time: Float[Tensor, "B G"] | None = None,
        guidance: Float[Tensor, "B G"] | None = None,
    ) -> Float[Tensor, "B G T 128"]:
        """Runs G chunks an observation.

        Args:
            x: Noise, or a noised chunk.
            context: From `prepare`.
            time: In [0, 1]; exactly when `time_embedding` is set.
            guidance: Guidance scale, where `guidance_embedding` is set; 0 by default.
        """
        B, G, T, _ = x.shape
        tokens = self.input(x)
        condition = context.embedding[:, None] + self.input_condition(tokens.mean(2))
        if self.time is not None:
            if time is None:
                raise ValueError("this trunk conditions on a time: give it one")
            condition = condition + self.time(scalar_features(time))
        if self.guidance is not None:
            scale = x.new_zeros((B, G)) if guidance is None else guidance
            condition = condition + self.guidance(scalar_features(scale))
        h = (tokens + self.position[:T]).float().flatten(1, 2)
        for layer, keys_values in zip(self.cross, context.keys_values, strict=True):
            h = layer(h, keys_values, context.mask)
        h, condition = h.unflatten(1, (G, T)).flatten(0, 1), F.silu(condition).flatten(0, 1)
        for block in self.blocks:
            h = block(h, condition)
        # The last layers stay in float32: bfloat16 would round positions to half a millimetre and more.
        with torch.autocast(x.device.type, enabled=False):
            return self.head(self.norm(h.float())).unflatten(0, (B, G))
