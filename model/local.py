"""A close look: the views resampled around a point of space, as seen from straight above it.

Shapes: B observations, V views, S image size, N cells a side, E encoder width.

An encoder that has pointed at a place (`EncoderOutput.point`) looks again, closely: horizontal squares around the
point are read out of every view through its calibration. What lies there appears at the same scale and heading
wherever on the table it is. Training moves and turns the squares at random, and the target with them (`model.anchor`):
offsets and headings are learned from what is seen in the square, not from where on the table a scene was.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.anchor import Anchor
from model.cameras import CameraModel, project_all, rotation_matrix

CELLS = 24
CELL = 0.0075  # m
PLANES = (0.0, -0.10)  # m: heights of the squares above the point; a hand above an object points at free air
TOKENS = 2
_REACH = 0.3  # m: unit of the hand's place


class LocalView(nn.Module):
    """Tokens of the close look."""

    def __init__(self, cameras: tuple[CameraModel, ...], width: int) -> None:
        super().__init__()
        self.cameras = cameras
        self.enter = nn.Conv2d(4 * len(cameras) * len(PLANES), 48, 3, padding=1)
        self.shrink = nn.ModuleList(
            [nn.Conv2d(48, 64, 3, stride=2, padding=1), nn.Conv2d(64, 96, 3, stride=2, padding=1)]
        )
        self.condition = nn.ModuleList(nn.Linear(width, 2 * channels) for channels in (48, 64, 96))
        self.narrow = nn.Conv2d(96, 16, 1)
        self.out = nn.Linear(16 * (CELLS // 4) ** 2, TOKENS * width)
        self.hand = nn.Sequential(nn.Linear(3 + 6 + 2, width), nn.SiLU(), nn.Linear(width, TOKENS * width))
        line = (torch.arange(CELLS) + 0.5 - CELLS / 2) * CELL
        x, y = torch.meshgrid(line, line, indexing="xy")
        planes = [torch.stack([x, y, torch.full_like(x, height)], dim=-1) for height in PLANES]
        self.register_buffer("places", torch.stack(planes).flatten(0, 2), persistent=False)
        self.places: Tensor

    def forward(
        self,
        images: UInt8[Tensor, "B V S S 3"],
        tip: Float[Tensor, "B 7"],
        anchor: Anchor,
        goal: Float[Tensor, "B E"],
    ) -> Float[Tensor, "B tokens E"]:
        """Looks at the squares around an anchor.

        Args:
            images: The views.
            tip: End-effector pose, x y z (m), quaternion xyzw.
            anchor: Where to look, and the heading of the squares.
            goal: What is sought.
        """
        x = self.resample(images, tip, anchor)
        x = self.enter(x)
        for k, condition in enumerate(self.condition):
            if k:
                x = self.shrink[k - 1](x)
            scale, shift = condition(goal)[:, :, None, None].chunk(2, dim=1)
            x = F.gelu(F.group_norm(x, 8) * (1 + scale) + shift)
        axes = anchor.axes
        place = torch.einsum("bij,bi->bj", axes, tip[:, :3] - anchor.point) / _REACH
        held = torch.einsum("bij,bik->bkj", axes, rotation_matrix(tip[:, 3:])[:, :, :2]).flatten(1)
        hand = torch.cat([place, held, anchor.turn.sin()[:, None], anchor.turn.cos()[:, None]], dim=-1)
        return (self.out(F.gelu(self.narrow(x)).flatten(1)) + self.hand(hand)).unflatten(-1, (TOKENS, -1))

    def resample(
        self, images: UInt8[Tensor, "B V S S 3"], tip: Float[Tensor, "B 7"], anchor: Anchor
    ) -> Float[Tensor, "B c N N"]:
        """Colours in -1 .. 1 of every view and square, and whether the view covers the place."""
        B, V = images.shape[:2]
        with torch.autocast(images.device.type, enabled=False):
            world = anchor.point[:, None] + torch.einsum("bij,nj->bni", anchor.axes, self.places)
            where = project_all(self.cameras, tip, world)
            seen = (where.abs() < 1).all(-1)
            flat = images.permute(0, 1, 4, 2, 3).flatten(0, 1).float().div_(128).sub_(1)
            grid = where.nan_to_num(nan=2.0).clamp(-2, 2).flatten(0, 1)[:, None]
            colours = F.grid_sample(flat, grid, padding_mode="zeros", align_corners=False)[:, :, 0]
            colours = torch.cat([colours.unflatten(0, (B, V)), seen[:, :, None].float()], dim=2)
        return colours.unflatten(-1, (len(PLANES), CELLS, CELLS)).transpose(2, 3).flatten(1, 3)
