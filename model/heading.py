"""How the hand has to be turned: the views read out on circles around a point of space.

Shapes: B observations, V views, S image size, R radii, A angles, E encoder width.

Circles around the refined place of a close look, at several heights, are read out of every view through its
calibration. On the map of radii and angles a turn of the scene is a shift along the angles, and convolutions that wrap
around treat all of them alike: a heading that was learned at one turn is known at every other. So a hundred
demonstrations are enough to learn how a thing lies. (A network that regressed the hand's rotation from a square around
the place copied the rotation it had.) What breaks the symmetry enters last: the direction itself, which tells apart the
two ways a gripper can take hold of a bar, and how the hand is turned now.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.anchor import Anchor, heading_of
from model.cameras import CameraModel, rotation_matrix
from model.views import colours_at

TURNS = 72  # headings that are told apart
TURN_WINDOW = 2.5  # steps of heading: two to either side of the best one
RADII = 10
RING = 0.0075  # m from circle to circle
_CHANNELS = 48
_FEATURES = 48


def headings(device: torch.device | str | None = None) -> Float[Tensor, "turns"]:
    """The headings that are told apart, rad in -pi .. pi."""
    return (torch.arange(TURNS, device=device) + 0.5) * (2 * torch.pi / TURNS) - torch.pi


def best_heading(logits: Float[Tensor, "B turns"]) -> Float[Tensor, " B"]:
    """Mean of a distribution over headings, around its best one alone, rad."""
    angles = headings(logits.device)
    away = wrapped(angles - angles[logits.argmax(-1)][:, None])
    near = (away.abs() < TURN_WINDOW * 2 * torch.pi / TURNS) * logits.softmax(-1)
    return angles[logits.argmax(-1)] + (near * away).sum(-1) / near.sum(-1)


def wrapped(angle: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The same angle in -pi .. pi, rad."""
    return torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi


class HeadingView(nn.Module):
    """Tells headings apart.

    Args:
        cameras: The views' calibration.
        width: Size of the goal.
        planes: Heights of the circles above the point, m.
    """

    def __init__(self, cameras: tuple[CameraModel, ...], width: int, planes: tuple[float, ...]) -> None:
        super().__init__()
        self.cameras = cameras
        self.enter = nn.Conv2d(4 * len(cameras) * len(planes), _CHANNELS, 3, padding=(1, 0))
        self.norm = nn.GroupNorm(1, _CHANNELS)
        self.spatial = nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=(1, 0))
        self.modulation = nn.Linear(width, 2 * _CHANNELS)
        self.collapse = nn.Conv2d(_CHANNELS, _FEATURES, (RADII, 3))
        # The direction: its sine and cosine in the world, and from how the hand is turned, once and twice the angle.
        self.around = nn.Conv1d(4 * _FEATURES + 6, _FEATURES, 5)
        self.sought = nn.Linear(width, 2 * _FEATURES)
        self.score = nn.Conv1d(_FEATURES, 1, 9)
        angle = headings()
        radius = (torch.arange(RADII) + 1) * RING
        circle = torch.stack([angle.cos(), angle.sin()], dim=-1)
        flat = F.pad((radius[:, None, None] * circle).flatten(0, 1), (0, 1))
        self.register_buffer("places", torch.cat([flat + flat.new_tensor([0, 0, z]) for z in planes]), persistent=False)
        self.places: Tensor

    def forward(
        self,
        views: Float[Tensor, "B V 3 S S"],
        tip: Float[Tensor, "B 7"],
        frame: Anchor,
        goal: Float[Tensor, "B E"],
    ) -> Float[Tensor, "B turns"]:
        """Unnormalised log-probability of headings of the hand (`model.anchor.heading_of`), relative to the frame's.

        Args:
            views: The views (`model.views.channels_first`).
            tip: End-effector pose, x y z (m), quaternion xyzw.
            frame: Where to look, and from which direction angles are counted.
            goal: What is sought.
        """
        colours = colours_at(self.cameras, views, tip, frame, self.places)
        x = self.enter(_around(colours.unflatten(-1, (-1, RADII, TURNS)).transpose(2, 3).flatten(1, 3), 1))
        scale, shift = self.modulation(goal)[:, :, None, None].chunk(2, dim=1)
        h = self.spatial(_around(self.norm(x).to(x.dtype), 1))
        x = F.gelu(x + torch.addcmul(shift, h, 1 + scale))
        x = F.gelu(self.collapse(_around(x, 1))[:, :, 0])
        with torch.autocast(views.device.type, enabled=False):
            angle = headings(views.device)
            hand = heading_of(rotation_matrix(tip[:, 3:])[:, :, :2].mT.flatten(1)) - frame.turn
            there, own = angle + frame.turn[:, None], angle - hand[:, None]
            direction = torch.stack([there, own, 2 * own], dim=1)
            # What lies ahead, to both sides and behind: a bar that is gripped lies across.
            quarters = [x.float().roll(k * TURNS // 4, dims=-1) for k in range(4)]
            x = torch.cat([*quarters, direction.sin(), direction.cos()], dim=1)
        scale, shift = self.sought(goal)[:, :, None].chunk(2, dim=1)
        x = F.gelu(torch.addcmul(shift, self.around(_around(x, 2)), 1 + scale))
        return self.score(_around(x, 4))[:, 0].float()


def _around(x: Tensor, by: int) -> Tensor:
    """Angles that wrap around, for a convolution without padding along them."""
    return torch.cat([x[..., -by:], x, x[..., :by]], dim=-1)
