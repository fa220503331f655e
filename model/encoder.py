"""The small observation encoder, trained from scratch: camera views, instruction and proprioception to tokens.

Shapes: B observations, V views, S image size, C channels, K keypoints a view, L context tokens, E encoder width.

Control to a centimetre needs positions finer than a feature map's cells. So beside the tokens of a coarse map, every
view gives K *keypoints*: attention of instruction-dependent queries over a map of S/4 x S/4 cells, read out as the
expected pixel coordinate (a spatial softmax) and the expected feature. With fixed cameras the keypoints' coordinates
in several views determine a point in space.

The first keypoint, the *pointer*, is taught directly: where the cameras are calibrated, training tells it where in
each view the next end-effector position lies, or that it is not in view (`pointer_loss`). The views' pointers meet in
one point of space, and the objectives generate positions relative to that point (`model.anchor`).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.anchor import Anchor, disturbed, upright
from model.cameras import CameraModel, triangulate
from model.local import LocalView
from model.text import PADDING
from model.trunk import SelfAttention, SwiGLU

POINTER_WINDOW = 0.22  # image coordinates: three cells of 32 to either side of the best one
POINTER_VARIANCE = 0.01  # image coordinates squared: (6 pixels of 128)^2, about that of a confident pointer


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder.

    Attributes:
        views: Number of camera views.
        image_size: Height and width of every view, pixels; a multiple of 16.
        proprioception: Length of the proprioception vector.
        vocabulary: Number of word numbers.
        max_words: Words of an instruction.
        width: Size of the tokens.
        channels: Channels at a quarter of the resolution; twice as many at an eighth, four times at a sixteenth.
        keypoints: Keypoints a view.
        fusion_layers: Self-attention layers over keypoints, words and proprioception.
        cameras: Calibration of every view; empty where the cameras are not calibrated (no pointer then).
    """

    views: int
    image_size: int
    proprioception: int
    vocabulary: int
    max_words: int
    width: int = 128
    channels: int = 32
    keypoints: int = 16
    fusion_layers: int = 1
    cameras: tuple[CameraModel, ...] = ()

    def __post_init__(self) -> None:
        cameras = tuple(c if isinstance(c, CameraModel) else CameraModel(**c) for c in self.cameras)
        object.__setattr__(self, "cameras", cameras)
        if cameras and len(cameras) != self.views:
            raise ValueError(f"{len(cameras)} calibrations for {self.views} views")


class ObservationBatch(NamedTuple):
    """Encoder input.

    Attributes:
        images: Camera views in the checkpoint's camera order, RGB.
        proprioception: Normalised.
        words: Word numbers of the instruction (`Vocabulary.encode`).
        tip: End-effector pose in the world: x y z (m), quaternion xyzw. Carries the wrist camera.
    """

    images: UInt8[Tensor, "B V S S 3"]
    proprioception: Float32[Tensor, "B P"]
    words: Int64[Tensor, "B W"]
    tip: Float32[Tensor, "B 7"]


class EncoderOutput(NamedTuple):
    """What the encoder makes of a batch.

    Attributes:
        tokens: Context tokens.
        mask: False on padding words.
        pointer: Unnormalised log-probability of the pointer over the S/4 x S/4 cells of every view, and last of not
            being in view.
        point: Where the pointers meet, world, m; None without calibrated cameras.
        anchor: The frame of the close look, in which chunks are generated; None without calibrated cameras.
    """

    tokens: Float[Tensor, "B L E"]
    mask: Bool[Tensor, "B L"]
    pointer: Float[Tensor, "B V cells+1"]
    point: Float[Tensor, "B 3"] | None
    anchor: Anchor | None


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
        return x + self.mix(F.gelu(h * (1 + scale) + shift))


def pixel_grid(cells: int) -> Float[Tensor, "cells*cells 2"]:
    """Cell centres (x right, y down) in -1 .. 1, row by row."""
    line = (torch.arange(cells) + 0.5) * 2 / cells - 1
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).reshape(-1, 2)


def fourier(x: Float[Tensor, "*n d"], octaves: int = 4) -> Float[Tensor, "*n d*(2*octaves+1)"]:
    """A coordinate with its sines and cosines: keeps fine differences visible to layers that run in bfloat16."""
    angle = (x[..., None] * (torch.pi * 2.0 ** torch.arange(octaves, device=x.device))).flatten(-2)
    return torch.cat([x, angle.sin(), angle.cos()], dim=-1)


class Encoder(nn.Module):
    """Observations to context tokens; see the head of this file."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        E, C, V, K = config.width, config.channels, config.views, config.keypoints
        cells = config.image_size // 4
        self.word = nn.Embedding(config.vocabulary, E, padding_idx=PADDING)
        self.word_position = nn.Parameter(0.02 * torch.randn(config.max_words, E))
        nn.init.normal_(self.word.weight, std=0.5)
        self.proprioception = nn.Sequential(nn.Linear(config.proprioception, E), nn.SiLU(), nn.Linear(E, E))
        self.text_layer = Layer(E)
        self.view = nn.Parameter(0.02 * torch.randn(V, E))

        self.stem = nn.Linear(4 * 4 * 3 + 2, C)
        self.fine = Residual(C, E)
        self.down8 = nn.Conv2d(C, 2 * C, 2, stride=2)
        self.middle = nn.ModuleList(Residual(2 * C, E) for _ in range(2))
        self.down16 = nn.Conv2d(2 * C, 4 * C, 2, stride=2)
        self.coarse = Residual(4 * C, E)
        self.up16 = nn.Conv2d(4 * C, 2 * C, 1)
        self.up8 = nn.Conv2d(2 * C, C, 1)

        self.query = nn.Linear(E, K * C)
        self.view_query = nn.Parameter(torch.randn(V, K, C))
        self.key = nn.Sequential(nn.LayerNorm(C), nn.Linear(C, 2 * C))
        self.keypoint = nn.Sequential(nn.Linear(C + 2 * 9 + 1, E), nn.SiLU(), nn.Linear(E, E))
        self.pointer = nn.Sequential(nn.Linear(19 * V, E), nn.SiLU(), nn.Linear(E, E))
        self.unseen = nn.Linear(4 * C, 1)
        self.view_gain = nn.Parameter(torch.zeros(V))
        self.keypoint_name = nn.Parameter(0.02 * torch.randn(K, E))
        self.fusion = nn.ModuleList(Layer(E) for _ in range(config.fusion_layers))
        self.cell = nn.Linear(4 * C, E)
        self.cell_position = nn.Parameter(0.02 * torch.randn((cells // 8) ** 2, E))
        self.local = LocalView(config.cameras, E) if config.cameras else None
        self.register_buffer("grid", pixel_grid(cells), persistent=False)
        self.grid: Tensor

    def forward(self, batch: ObservationBatch, rng: torch.Generator | None = None) -> EncoderOutput:
        """Encodes a batch.

        Args:
            batch: The observations.
            rng: In training, source of the anchor's random moves (`model.anchor.disturbed`).
        """
        B, V = batch.images.shape[:2]
        words = self.word(batch.words) + self.word_position
        state = self.proprioception(batch.proprioception)[:, None]
        text = torch.cat([state.to(words.dtype), words], dim=1)
        text_mask = F.pad(batch.words != PADDING, (1, 0), value=True)
        text = self.text_layer(text, text_mask[:, None, None])
        # The proprioception token has read the sentence: which word matters depends on the phase of the episode.
        goal = text[:, 0]
        condition = (goal[:, None] + self.view).flatten(0, 1)

        fine, coarse = self.feature_maps(batch.images, condition)
        logits, places, seen = self.keypoints(fine, goal)
        keypoints = self.keypoint(torch.cat([places, seen.float()], dim=-1)).unflatten(0, (B, V))
        keypoints = (keypoints + self.view[:, None] + self.keypoint_name).flatten(1, 2)
        pointer = self.pointer(places[:, 0].unflatten(0, (B, V)).flatten(1))[:, None]
        unseen = self.unseen(coarse.mean((2, 3))).float()
        pointer_logits = torch.cat([logits[:, 0], unseen], dim=-1).unflatten(0, (B, V))
        point = anchor = None
        looked = keypoints[:, :0]
        if self.local is not None:
            point = self.point(pointer_logits, batch.tip)
            anchor = upright(point) if rng is None else disturbed(point, rng)
            looked = self.local(batch.images, batch.tip, anchor, goal)
        tokens = torch.cat([text, looked.to(text.dtype), pointer.to(text.dtype), keypoints], dim=1)
        mask = F.pad(text_mask, (0, looked.shape[1] + 1 + keypoints.shape[1]), value=True)
        for layer in self.fusion:
            tokens = layer(tokens, mask[:, None, None])
        cells = self.cell(F.avg_pool2d(coarse, 2).permute(0, 2, 3, 1).flatten(1, 2)).unflatten(0, (B, V))
        cells = (cells + self.view[:, None] + self.cell_position).flatten(1, 2)
        tokens = torch.cat([tokens, cells], dim=1)
        mask = F.pad(mask, (0, cells.shape[1]), value=True)
        return EncoderOutput(tokens, mask, pointer_logits, point, anchor)

    def point(self, logits: Float[Tensor, "B V cells+1"], tip: Float[Tensor, "B 7"]) -> Float[Tensor, "B 3"]:
        """Where the views' pointers meet, world, m. Views that do not see the point, or are unsure, count less."""
        with torch.autocast(logits.device.type, enabled=False):
            heat = logits.float().softmax(-1)
            seen = 1 - heat[..., -1]
            heat = heat[..., :-1]
            # Around the best cell alone: a second candidate elsewhere must not pull the estimate between the two.
            best = self.grid[heat.argmax(-1)]
            near = ((self.grid - best[..., None, :]).abs().amax(-1) < POINTER_WINDOW) * heat
            image = (near / near.sum(-1, keepdim=True).clamp(min=1e-9)) @ self.grid
            offset = (self.grid - image.detach()[..., None, :]).square().sum(-1)
            variance = (heat * offset).sum(-1) / seen.clamp(min=1e-6)
            weight = seen * self.view_gain.exp() / (1 + variance / POINTER_VARIANCE)
            return triangulate(self.config.cameras, tip.float(), image, weight)

    def feature_maps(
        self, images: UInt8[Tensor, "B V S S 3"], condition: Float[Tensor, "n E"]
    ) -> tuple[Tensor, Tensor]:
        """A fine map [B*V, C, S/4, S/4] that knows its surroundings, and a coarse one [B*V, 4C, S/16, S/16]."""
        n, cells = condition.shape[0], self.config.image_size // 4
        patches = images.reshape(n, cells, 4, cells, 4, 3).transpose(2, 3).reshape(n, cells * cells, 48)
        dtype = torch.get_autocast_dtype(images.device.type) if torch.is_autocast_enabled(images.device.type) else None
        patches = patches.to(dtype or self.stem.weight.dtype).mul_(1 / 64).sub_(2)
        stem = F.linear(patches, self.stem.weight[:, :48], self.stem.bias)
        stem = F.gelu(stem + F.linear(self.grid, self.stem.weight[:, 48:]).to(stem.dtype))
        # [n, cells * cells, C] is the memory of a channels-last map: the view is free.
        fine = self.fine(stem.unflatten(1, (cells, cells)).permute(0, 3, 1, 2), condition)
        middle = self.down8(fine)
        for unit in self.middle:
            middle = unit(middle, condition)
        coarse = self.coarse(self.down16(middle), condition)
        middle = middle + F.interpolate(self.up16(coarse), scale_factor=2)
        return fine + F.interpolate(self.up8(middle), scale_factor=2), coarse

    def keypoints(self, fine: Float[Tensor, "n C h w"], goal: Float[Tensor, "B E"]) -> tuple[Tensor, Tensor, Tensor]:
        """Where each query looks in each view.

        Returns:
            Logits over cells [n, K, h*w]; Fourier features of the expected coordinates and the strength of the match
            [n, K, 19]; expected features [n, K, C].
        """
        _, K, C = self.view_query.shape
        key, value = self.key(fine.permute(0, 2, 3, 1).flatten(1, 2)).chunk(2, dim=-1)
        query = (self.query(goal).unflatten(-1, (1, K, C)) + self.view_query).flatten(0, 1)
        logits = (query.to(key.dtype) @ key.transpose(1, 2)).float() * C**-0.5
        heat = logits.softmax(dim=-1)
        with torch.autocast(fine.device.type, enabled=False):  # coordinates finer than bfloat16 resolves
            where = fourier(heat @ self.grid)
        match = logits.logsumexp(dim=-1, keepdim=True) / 4
        return logits, torch.cat([where, match], dim=-1), heat.to(value.dtype) @ value


def pointer_loss(
    logits: Float[Tensor, "B V cells+1"], image: Float[Tensor, "B V 2"], sigma: float = 0.05
) -> Float[Tensor, ""]:
    """Cross-entropy of the pointer against a Gaussian around the true place, or against "not in view".

    Args:
        logits: `EncoderOutput.pointer`.
        image: Image coordinates of the point in every view (`model.cameras.project`); NaN behind a camera.
        sigma: Of the Gaussian, in image coordinates (0.05 is 3.2 pixels of 128).
    """
    side = round((logits.shape[-1] - 1) ** 0.5)
    centre = (torch.arange(side, device=logits.device) + 0.5) * 2 / side - 1
    visible = (image.abs() < 1).all(-1)
    distance = (centre - image.nan_to_num()[..., None]).square() / (2 * sigma**2)  # [B, V, 2, side]
    goal = (-(distance[..., 0, None, :] + distance[..., 1, :, None])).flatten(-2).softmax(-1)
    goal = torch.cat([goal * visible[..., None], ~visible[..., None]], dim=-1)
    return -(goal * logits.float().log_softmax(-1)).sum(-1).mean()
