"""The small observation encoder, trained from scratch: camera views, instruction and proprioception to tokens.

Shapes: B observations, V views, S image size, C channels, K keypoints a view, L context tokens, E encoder width.

Control to a centimetre needs positions finer than a feature map's cells. So beside the tokens of a coarse map, every
view gives K *keypoints*: attention of instruction-dependent queries over a map of S/4 x S/4 cells, read out as the
expected pixel coordinate (a spatial softmax) and the expected feature. With fixed cameras the keypoints' coordinates
in several views determine a point in space.

The first keypoint, the *pointer*, is taught directly: where the cameras are calibrated, training tells it where in
each view the next end-effector position lies, or that it is not in view (`model.pointer`). The views' pointers meet in
one point of space. A close look around it (`model.local`) finds the place more finely, and the objectives generate
positions relative to what it finds (`model.anchor`).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.anchor import Anchor, disturbed, upright
from model.cameras import CameraModel
from model.choice import BELIEF, Choice, apart
from model.colours import SHARPNESS, NamedColours, SoughtColours
from model.local import LocalView
from model.meeting import candidates, meeting_point
from model.observation import EncoderOutput, ObservationBatch, Places
from model.overview import Overview
from model.parts import Layer, Residual, fourier, pixel_grid
from model.text import PADDING
from model.views import channels_first

CELLS = 2  # tokens of the coarse map, a side


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder.

    Attributes:
        views: Number of camera views; 0 makes it a `model.state_encoder.StateEncoder`.
        image_size: Height and width of every view, pixels; a multiple of 16. 0 without views.
        proprioception: Length of the proprioception vector.
        vocabulary: Number of word numbers.
        max_words: Words of an instruction.
        width: Size of the tokens.
        channels: Channels at a quarter of the resolution; twice as many at an eighth, four times at a sixteenth.
        keypoints: Keypoints a view.
        fusion_layers: Self-attention layers over keypoints, words and proprioception.
        overview_layers: Self-attention layers over the coarse maps of all views (`model.overview`).
        choices: Places that are compared by a look at each (`model.choice`); 0 for an encoder without.
        colours: Colours that the instruction asks for, at most (`SoughtColours`); 0 for an encoder without.
        names: A lexicon tells what the words for colours mean (`NamedColours`).
        cameras: Calibration of every view; empty where the cameras are not calibrated (no pointer then).
        heights: Lowest and highest end-effector position that is looked for, m in the world.
    """

    views: int
    image_size: int
    proprioception: int
    vocabulary: int
    max_words: int
    width: int = 128
    channels: int = 32
    keypoints: int = 8
    fusion_layers: int = 1
    overview_layers: int = 0
    colours: int = 0
    names: bool = False
    choices: int = 0
    cameras: tuple[CameraModel, ...] = ()
    heights: tuple[float, float] = (0.0, 1.5)

    def __post_init__(self) -> None:
        cameras = tuple(c if isinstance(c, CameraModel) else CameraModel(**c) for c in self.cameras)
        object.__setattr__(self, "cameras", cameras)
        object.__setattr__(self, "heights", tuple(self.heights))
        if cameras and len(cameras) != self.views:
            raise ValueError(f"{len(cameras)} calibrations for {self.views} views")


class Glimpse(NamedTuple):
    """The part of an encoding that depends on the observation alone, not on random moves of the close look.

    Attributes:
        text: Proprioception, then the words, having read each other.
        text_mask: False on padding words.
        keypoints: One token each.
        pointer: One token for where all views point.
        cells: Of the coarse maps.
        logits: See `Places.pointer`.
    """

    text: Float[Tensor, "B W+1 E"]
    text_mask: Bool[Tensor, "B W+1"]
    keypoints: Float[Tensor, "B V*K E"]
    pointer: Float[Tensor, "B 1 E"]
    cells: Float[Tensor, "B n E"]
    logits: Float[Tensor, "B V cells+1"]


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

        self.sought = SoughtColours(E, config.colours) if config.colours else None
        self.named = NamedColours(E, config.vocabulary) if config.names else None
        self.stem = nn.Linear(4 * 4 * 3 + 2 + config.colours + len(SHARPNESS) * config.names, C)
        self.fine = Residual(C, E)
        self.down8 = nn.Conv2d(C, 2 * C, 2, stride=2)
        self.middle = nn.ModuleList(Residual(2 * C, E) for _ in range(2))
        self.down16 = nn.Conv2d(2 * C, 4 * C, 2, stride=2)
        self.coarse = Residual(4 * C, E)
        self.overview = (
            Overview(V, config.image_size // 16, 4 * C, E, config.overview_layers) if config.overview_layers else None
        )
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
        self.cell_position = nn.Parameter(0.02 * torch.randn(CELLS**2, E))
        self.local = LocalView(config.cameras, E, config.heights) if config.cameras else None
        self.choice = (
            Choice(config.cameras, E, config.vocabulary) if config.choices and len(config.cameras) > 1 else None
        )
        self.register_buffer("grid", pixel_grid(cells), persistent=False)
        self.grid: Tensor

    def forward(
        self,
        batch: ObservationBatch,
        goal: Float[Tensor, "B 3"] | None = None,
        rng: torch.Generator | None = None,
    ) -> EncoderOutput:
        """Encodes a batch.

        Args:
            batch: The observations.
            goal: In training, where to look closely: near the next end-effector position (m, world), not where the
                pointer points. Of several right places the pointer may have chosen another than the demonstration.
            rng: In training, source of the close look's random moves (`model.anchor.disturbed`).
        """
        return self.focus(batch, self.look(batch), goal, rng)

    def look(self, batch: ObservationBatch) -> Glimpse:
        """The larger part of the work; of a frozen encoder it can be kept."""
        B, V = batch.images.shape[:2]
        words = self.word(batch.words) + self.word_position
        state = self.proprioception(batch.proprioception)[:, None]
        text = torch.cat([state.to(words.dtype), words], dim=1)
        text_mask = F.pad(batch.words != PADDING, (1, 0), value=True)
        text = self.text_layer(text, text_mask[:, None, None])
        # The proprioception token has read the sentence: which word matters depends on the phase of the episode.
        goal = text[:, 0]
        condition = (goal[:, None] + self.view).flatten(0, 1)

        fine, coarse = self.feature_maps(batch.images, condition, text, text_mask, batch.words)
        logits, places, seen = self.keypoints(fine, goal)
        keypoints = self.keypoint(torch.cat([places, seen.float()], dim=-1)).unflatten(0, (B, V))
        keypoints = (keypoints + self.view[:, None] + self.keypoint_name).flatten(1, 2)
        pointer = self.pointer(places[:, 0].unflatten(0, (B, V)).flatten(1))[:, None]
        unseen = self.unseen(coarse.mean((2, 3))).float()
        cells = self.cell(F.adaptive_avg_pool2d(coarse, CELLS).permute(0, 2, 3, 1).flatten(1, 2)).unflatten(0, (B, V))
        cells = (cells + self.view[:, None] + self.cell_position).flatten(1, 2)
        logits = torch.cat([logits[:, 0], unseen], dim=-1).unflatten(0, (B, V))
        return Glimpse(text, text_mask, keypoints, pointer.to(text.dtype), cells, logits)

    def focus(
        self,
        batch: ObservationBatch,
        glimpse: Glimpse,
        goal: Float[Tensor, "B 3"] | None = None,
        rng: torch.Generator | None = None,
        maps: Float[Tensor, "B V 2 3"] | None = None,
    ) -> EncoderOutput:
        """The rest: the close look, and what joins it to the glimpse.

        Args:
            batch: The observations.
            glimpse: From `look`.
            goal: See `forward`.
            rng: See `forward`.
            maps: See `point`.
        """
        text = glimpse.text
        anchor = places = None
        tokens = [text, glimpse.pointer.to(text.dtype), glimpse.keypoints, glimpse.cells]
        if self.local is not None:
            # In training the place to look at is given, and the choice is trained by itself.
            chosen = self.chosen(batch, glimpse) if goal is None else None
            point = self.point(glimpse.logits, batch.tip, maps, chosen)
            around = point if goal is None else goal
            frame = upright(around) if rng is None else disturbed(around, rng)
            close = self.local(batch.images, batch.tip, frame, text[:, 0])
            anchor = Anchor(close.anchor.point.detach(), close.anchor.turn)
            places = Places(glimpse.logits, point, frame, close.heat, close.level, close.turn, close.anchor.point)
            tokens.append(close.tokens.to(text.dtype))
        seen = torch.cat(tokens, dim=1)
        mask = F.pad(glimpse.text_mask, (0, seen.shape[1] - text.shape[1]), value=True)
        for layer in self.fusion:
            seen = layer(seen, mask[:, None, None])
        return EncoderOutput(seen, mask, anchor, places)

    def point(
        self,
        logits: Float[Tensor, "B V cells+1"],
        tip: Float[Tensor, "B 7"],
        maps: Float[Tensor, "B V 2 3"] | None = None,
        chosen: Float[Tensor, "B 3"] | None = None,
    ) -> Float[Tensor, "B 3"]:
        """Where the views' pointers meet, world, m; see `meeting_point`."""
        with torch.autocast(logits.device.type, enabled=False):
            return meeting_point(self.config.cameras, logits, tip.float(), self.grid, self.view_gain, maps, chosen)

    def compared(
        self, batch: ObservationBatch, glimpse: Glimpse, turn: Float[Tensor, " B"] | None = None
    ) -> tuple[Float[Tensor, "B M 3"], Float[Tensor, "B M"], Float[Tensor, "B M"]]:
        """The likeliest places (world, m), their log-likelihood in the views' maps, and the scores of `Choice`.

        Args:
            batch: The observations.
            glimpse: From `look`.
            turn: See `Choice.forward`.
        """
        assert self.choice is not None
        with torch.autocast(batch.images.device.type, enabled=False):
            points, likelihood = candidates(self.config.cameras, glimpse.logits, batch.tip.float(), self.grid)
            places, worth = apart(points, likelihood, self.config.choices)
        views = channels_first(batch.images)
        return places, worth, self.choice(views, batch.tip, places, glimpse.text, glimpse.text_mask, batch.words, turn)

    def chosen(self, batch: ObservationBatch, glimpse: Glimpse) -> Float[Tensor, "B 3"] | None:
        """The place that is meant, world, m; None for an encoder that does not compare."""
        if self.choice is None:
            return None
        places, worth, scores = self.compared(batch, glimpse)
        best = (scores + BELIEF * worth).argmax(-1)
        return places[torch.arange(len(places), device=places.device), best]

    def feature_maps(
        self,
        images: UInt8[Tensor, "B V S S 3"],
        condition: Float[Tensor, "n E"],
        text: Float[Tensor, "B L E"],
        text_mask: Bool[Tensor, "B L"],
        words: Int64[Tensor, "B W"],
    ) -> tuple[Tensor, Tensor]:
        """A fine map [B*V, C, S/4, S/4] that knows its surroundings, and a coarse one [B*V, 4C, S/16, S/16]."""
        n, cells = condition.shape[0], self.config.image_size // 4
        patches = images.reshape(n, cells, 4, cells, 4, 3).transpose(2, 3).reshape(n, cells * cells, 48)
        dtype = torch.get_autocast_dtype(images.device.type) if torch.is_autocast_enabled(images.device.type) else None
        patches = patches.to(dtype or self.stem.weight.dtype).mul_(1 / 64).sub_(2)
        stem = F.linear(patches, self.stem.weight[:, :48], self.stem.bias)
        stem = stem + F.linear(self.grid, self.stem.weight[:, 48:50]).to(stem.dtype)
        matches = [] if self.sought is None else [self.sought(patches, condition)]
        if self.named is not None:
            matches.append(self.named(patches, text, text_mask, words))
        if matches:
            stem = stem + F.linear(torch.cat(matches, dim=-1).to(stem.dtype), self.stem.weight[:, 50:])
        stem = F.gelu(stem)
        # [n, cells * cells, C] is the memory of a channels-last map: the view is free.
        fine = self.fine(stem.unflatten(1, (cells, cells)).permute(0, 3, 1, 2), condition)
        middle = self.down8(fine)
        for unit in self.middle:
            middle = unit(middle, condition)
        coarse = self.coarse(self.down16(middle), condition)
        if self.overview is not None:
            coarse = self.overview(coarse, text, text_mask)
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
