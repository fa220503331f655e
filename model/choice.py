"""Which of several places is meant: looks at what stands around and below each of them.

The pointers of a view compare places by what a map of that view says of them, and a map that has seen a few hundred
scenes knows them by heart: it points above "the maroon jar" of a scene that it has been shown, and above either of two
jars in a new one. The places are right, the choice is not. So the likeliest places, apart from each other, are looked
at one by one: colours of every view in a column below each, read out through the calibration, and how near they are to
the colours that the instruction asks for. What is seen so is the same wherever on the table the place is, and there is
no scene to be known by heart.

Shapes: B observations, V views, S image size, M places, K points of a column, E encoder width.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.anchor import Anchor
from model.cameras import CameraModel, project_all
from model.parts import pixel_grid

APART = 0.03  # m: places nearer to each other are one
SIDE, STEP = 5, 0.0125  # of a column's squares: points a side, and their distance in m
DEPTHS = (0.0, 0.04, 0.08, 0.12, 0.16, 0.20)  # m below the place
BELIEF = 2.0  # weight of what the views' maps say, found on validation seeds
_WIDTH = 64
_SHARPNESS = (1.0, 4.0, 16.0)
_REACH = 0.3  # m: unit of the way from the hand


class Choice(nn.Module):
    """Scores places.

    Args:
        cameras: The views' calibration.
        width: Size of the words' tokens.
        vocabulary: Number of word numbers.

    Attributes:
        lexicon: Of each word number the colour that it names, RGB in -1 .. 1, and 1; zeros of a word that names none.
    """

    def __init__(self, cameras: tuple[CameraModel, ...], width: int, vocabulary: int) -> None:
        super().__init__()
        self.cameras = cameras
        self.query, self.read = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.register_buffer("lexicon", torch.zeros(vocabulary, 4))
        self.lexicon: Tensor
        self.enter = nn.Linear(len(DEPTHS) * (4 * SIDE**2 + 2 * len(_SHARPNESS)), _WIDTH)
        self.view = nn.Parameter(0.02 * torch.randn(len(cameras), _WIDTH))
        self.modulation = nn.Linear(width, 2 * _WIDTH)
        self.mix = nn.Linear(_WIDTH, _WIDTH)
        self.score = nn.Sequential(nn.Linear(2 * _WIDTH + 3 + width, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, 1))
        flat = F.pad((SIDE - 1) / 2 * STEP * SIDE / (SIDE - 1) * pixel_grid(SIDE), (0, 1))
        column = torch.cat([flat - flat.new_tensor([0.0, 0.0, depth]) for depth in DEPTHS])
        self.register_buffer("column", column, persistent=False)
        self.column: Tensor

    def forward(
        self,
        views: Float[Tensor, "B V 3 S S"],
        tip: Float[Tensor, "B 7"],
        places: Float[Tensor, "B M 3"],
        text: Float[Tensor, "B L E"],
        text_mask: Bool[Tensor, "B L"],
        words: Int64[Tensor, "B W"],
        turn: Float[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B M"]:
        """Unnormalised log-probabilities.

        Args:
            views: From `model.views.channels_first`.
            tip: End-effector pose, x y z (m), quaternion xyzw.
            places: World, m.
            text: Proprioception's token, then the words'.
            text_mask: False on padding words.
            words: Their numbers, W = L - 1.
            turn: Heading of the columns' squares, rad: in training at random.
        """
        M = places.shape[1]
        key, value = self.read(text).chunk(2, dim=-1)
        heard = self.query(text[:, :1]) @ key.mT * key.shape[-1] ** -0.5
        heard = heard.float().masked_fill(~text_mask[:, None], -torch.inf)
        named = self.lexicon[words]
        # Of several colours that are named, which one it is now; of none, zeros.
        which = heard[:, 0, 1:].masked_fill(named[..., 3] == 0, -1e4).softmax(-1) * named[..., 3]
        heard = heard.softmax(-1).to(value.dtype)
        goal = (heard @ value + text[:, :1])[:, 0]
        with torch.autocast(views.device.type, enabled=False):
            colours, seen = self._colours(views, tip, places, turn)
            near = self._nearness(colours, which, named[..., :3]).unflatten(-1, (len(DEPTHS), -1))
            parts = (colours, seen[..., None, :], near.amax(-1), near.mean(-1))
            look = torch.cat([part.flatten(-2) for part in parts], dim=-1)
            way = tip[:, None, :3] - places
            where = torch.stack([places[..., 2], way[..., 2], way[..., :2].norm(dim=-1)], dim=-1) / _REACH
        scale, shift = self.modulation(goal)[:, None, None].chunk(2, dim=-1)
        seen_at_all = (seen.amax(-1, keepdim=True) > 0).float()
        h = self.enter(look) + self.view[:, None]
        h = F.gelu(self.mix(F.gelu(torch.addcmul(shift, h, 1 + scale))))
        mean = (h * seen_at_all).sum(1) / seen_at_all.sum(1).clamp(min=1)
        best = h.masked_fill(seen_at_all == 0, -4.0).amax(1)
        joint = torch.cat([mean, best, where.to(mean.dtype), goal[:, None].expand(-1, M, -1).to(mean.dtype)], dim=-1)
        return self.score(joint)[..., 0].float()

    @torch.no_grad()
    def _colours(
        self, views: Tensor, tip: Tensor, places: Tensor, turn: Tensor | None
    ) -> tuple[Float[Tensor, "B V M 3 K"], Float[Tensor, "B V M K"]]:
        """RGB in -1 .. 1 of every view at the points of every place's column, and whether the view covers them."""
        B, V = views.shape[:2]
        M, K = places.shape[1], len(self.column)
        axes = Anchor(tip[:, :3], torch.zeros_like(tip[:, 0]) if turn is None else turn).axes
        points = places[:, :, None] + torch.einsum("bij,nj->bni", axes, self.column)[:, None]
        at = project_all(self.cameras, tip, points.flatten(1, 2))
        seen = (at.abs() < 1).all(-1)
        grid = at.nan_to_num(nan=2.0).clamp(-2, 2).flatten(0, 1)[:, None]
        colours = F.grid_sample(views.flatten(0, 1), grid, padding_mode="zeros", align_corners=False)[:, :, 0]
        return (
            colours.unflatten(0, (B, V)).unflatten(-1, (M, K)).movedim(2, 3),
            seen.unflatten(-1, (M, K)).float(),
        )

    def _nearness(
        self, colours: Float[Tensor, "B V M 3 K"], which: Float[Tensor, "B W"], named: Float[Tensor, "B W 3"]
    ) -> Float[Tensor, "B V M sharpness K"]:
        """0 where a colour is the one that is named, falling with the logarithm of the distance; 0 where none is."""
        dot = torch.einsum("bwc,bvmck->bvmwk", named, colours)
        squares = colours.square().sum(-2, keepdim=True) + named.square().sum(-1)[:, None, None, :, None]
        apart = (squares - 2 * dot).clamp(min=0)
        near = [torch.einsum("bw,bvmwk->bvmk", which, -torch.log1p(sharp * apart)) for sharp in _SHARPNESS]
        return torch.stack(near, dim=3)


@torch.no_grad()
def apart(
    points: Float[Tensor, "B n 3"], likelihood: Float[Tensor, "B n"], count: int
) -> tuple[Float[Tensor, "B M 3"], Float[Tensor, "B M"]]:
    """The likeliest points that are no neighbours; at the end of a list repetitions may stand, of likelihood -inf."""
    rows = torch.arange(len(points), device=points.device)
    left, chosen, worth = likelihood.clone(), [], []
    for _ in range(count):
        best = left.argmax(-1)
        chosen.append(points[rows, best])
        worth.append(left[rows, best])
        left = left.masked_fill((points - chosen[-1][:, None]).norm(dim=-1) < APART, -torch.inf)
    return torch.stack(chosen, dim=1), torch.stack(worth, dim=1)


def choice_loss(
    scores: Float[Tensor, "B M"],
    places: Float[Tensor, "B M 3"],
    worth: Float[Tensor, "B M"],
    goal: Float[Tensor, "B 3"],
    near: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Cross-entropy of the places near the goal, over observations with such a place and others.

    Args:
        scores: Of each place.
        places: World, m.
        worth: From `apart`.
        goal: World, m.
        near: Distance up to which a place is right, m.

    Returns:
        The loss, and the share of these observations where the best place is a right one.
    """
    real = worth > -torch.inf
    right = ((places - goal[:, None]).norm(dim=-1) < near) & real
    useful = right.any(-1) & (real & ~right).any(-1)
    if not useful.any():
        return 0.0 * scores.sum(), scores.new_zeros(())
    log = scores[useful].masked_fill(~real[useful], -torch.inf).log_softmax(-1)
    hit = right[useful].gather(1, log.argmax(-1, keepdim=True))
    return -log.masked_fill(~right[useful], -torch.inf).logsumexp(-1).mean(), hit.float().mean()
