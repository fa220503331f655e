"""Demonstrations in memory as training batches.

Shapes: N frames, V views, S image size, P proprioception entries, T keyframes a chunk, B observations a batch.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from envs.spec import InputError
from model.actions import EMBODIMENTS
from model.cameras import TIP_POSE
from model.normalize import Normalizer
from model.observation import ObservationBatch
from model.qwen.tokens import QwenTokens
from model.text import Vocabulary
from train.lerobot.dataset import DemoDataset


class Batch(NamedTuple):
    """One training batch.

    Attributes:
        observations: Encoder input.
        embodiment: `Embodiment.id` of each.
        target: Internal chunks (`model.normalize`); one positive each.
        mask: Slots that count.
        goal: First target position, world, m; None without calibrated cameras.
    """

    observations: ObservationBatch
    embodiment: Int64[Tensor, " B"]
    target: Float32[Tensor, "B 1 T 128"]
    mask: Bool[Tensor, "B T 128"]
    goal: Float32[Tensor, "B 3"] | None


def chunk_rows(
    episode: Int64[np.ndarray, " N"], keyframe: Int64[np.ndarray, " N"], horizon: int
) -> tuple[Int64[np.ndarray, "N T"], Bool[np.ndarray, "N T"]]:
    """For every frame, the rows whose actions are its next keyframes, and which of them count.

    The frame's own action comes first. Past the end of the episode the last keyframe is repeated, and counts. Where a
    number is left out the expert's way breaks off, since the hand then went elsewhere (`train.disturbance`): what
    follows does not count.
    """
    first: dict[tuple[int, int], int] = {}
    last: dict[int, int] = {}
    for row, (e, k) in enumerate(zip(episode.tolist(), keyframe.tolist(), strict=True)):
        first.setdefault((e, k), row)
        last[e] = max(last.get(e, k), k)
    rows = np.empty((len(episode), horizon), dtype=np.int64)
    counts = np.ones((len(episode), horizon), dtype=bool)
    for row, (e, k) in enumerate(zip(episode.tolist(), keyframe.tolist(), strict=True)):
        rows[row, 0] = row
        for step in range(1, horizon):
            following = first.get((e, min(k + step, last[e]))) if counts[row, step - 1] else None
            counts[row, step] = following is not None
            rows[row, step] = rows[row, step - 1] if following is None else following
    return rows, counts


@dataclass(frozen=True)
class TrainingData:
    """A dataset as tensors.

    Attributes:
        images: RGB.
        proprioception: Normalised.
        words: Instruction of each frame, in word numbers.
        target: Internal chunks.
        mask: Slots that count: those of the embodiment.
        tip: End-effector pose, x y z (m), quaternion xyzw.
        goal: See `Batch`.
        embodiment: `Embodiment.id`.
        task: Task of each frame.
        views: True where a view was recorded; None where all were.
        keyframe: Number of the keyframe that each frame leads to.
        steps: Steps of the chunks that count (`chunk_rows`); None where all do.
    """

    images: UInt8[Tensor, "N V S S 3"]
    proprioception: Float32[Tensor, "N P"]
    words: Int64[Tensor, "N W"]
    target: Float32[Tensor, "N T 128"]
    mask: Bool[Tensor, "128"]
    tip: Float32[Tensor, "N 7"]
    goal: Float32[Tensor, "N 3"] | None
    embodiment: int
    task: list[str]
    views: Bool[Tensor, "N V"] | None = None
    keyframe: Int64[Tensor, " N"] | None = None
    steps: Bool[Tensor, "N T"] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Int64[Tensor, " B"], device: str = "cpu") -> Batch:
        """Collects frames."""
        target = self.target[rows][:, None].to(device)
        mask = self.mask.expand(len(rows), target.shape[2], -1)
        if self.steps is not None:
            mask = mask & self.steps[rows][..., None]
        return Batch(
            ObservationBatch(
                self.images[rows].to(device),
                self.proprioception[rows].to(device),
                self.words[rows].to(device),
                self.tip[rows].to(device),
                None if self.views is None else self.views[rows].to(device),
            ),
            torch.full((len(rows),), self.embodiment, device=device),
            target,
            mask.to(device),
            None if self.goal is None else self.goal[rows].to(device),
        )


def prepare(
    demos: DemoDataset, calibrated: bool, horizon: int, normalizer: Normalizer, vocabulary: Vocabulary | QwenTokens
) -> TrainingData:
    """Turns a dataset into tensors.

    Args:
        demos: The dataset.
        calibrated: The cameras are calibrated, so that the pointer can be taught (`Batch.goal`).
        horizon: Keyframes a chunk.
        normalizer: Of the training set.
        vocabulary: Of the training set.

    Raises:
        InputError: Actions or proprioception do not fit the normaliser, the views are not square, or cameras are
            calibrated but the end effector's pose is not recorded.
    """
    robot = EMBODIMENTS[normalizer.embodiment]
    height, width = demos.images.shape[2:4]
    if demos.actions.shape[1] != robot.native_dim or height != width or height % 32:
        raise InputError(
            f"these demonstrations have {demos.actions.shape[1]}-number actions and {height} x {width} views; training "
            f"needs {robot.native_dim} numbers ({robot.name}) and square views of a multiple of 32 pixels. "
            "Write demonstrations with `python -m train.demos`, or read these through --mapping."
        )
    if demos.proprioception.shape[1] != len(normalizer.proprioception_mean):
        raise InputError(
            f"these demonstrations have {demos.proprioception.shape[1]} proprioception entries, the training set has "
            f"{len(normalizer.proprioception_mean)}. Write both with the same version of `python -m train.demos`."
        )
    rows, counts = chunk_rows(demos.episode_index, demos.keyframe_index, horizon)
    internal = normalizer.to_internal(robot.encode(demos.actions))
    names = demos.proprioception_names
    missing = [name for name in TIP_POSE if name not in names]
    if missing and calibrated:
        raise InputError(
            f"these demonstrations lack proprioception {', '.join(missing)}, the end effector's pose. "
            "Write demonstrations with `python -m train.demos`, or name these entries in the mapping's state."
        )
    tip = np.zeros((len(demos.actions), len(TIP_POSE)), np.float32)
    if not missing:
        tip = demos.proprioception[:, [names.index(name) for name in TIP_POSE]]
    return TrainingData(
        torch.from_numpy(demos.images),
        torch.from_numpy(normalizer.proprioception(demos.proprioception)),
        torch.from_numpy(vocabulary.encode(demos.instructions)),
        torch.from_numpy(internal[rows]),
        torch.from_numpy(normalizer.mask),
        torch.from_numpy(tip),
        torch.from_numpy(demos.actions[:, :3]) if calibrated else None,
        robot.id,
        list(demos.task),
        None if demos.views is None else torch.from_numpy(demos.views),
        torch.from_numpy(demos.keyframe_index),
        None if counts.all() else torch.from_numpy(counts),
    )


def step_rows(step: int, batch_size: int, count: int, seed: int) -> Int64[Tensor, " B"]:
    """Rows of a step's batch: consecutive pieces of a fresh shuffle every epoch. A function of its arguments."""
    places = np.arange(step * batch_size, (step + 1) * batch_size)
    rows = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(places // count):
        mine = places // count == epoch
        rows[mine] = np.random.default_rng((seed, int(epoch))).permutation(count)[places[mine] % count]
    return torch.from_numpy(rows)


def augment(batch: Batch, jitter: float, rng: torch.Generator, crop: int = 0) -> Batch:
    """Changes views at random, each by itself; see `check_crop` for when it may move them.

    Args:
        batch: The batch.
        jitter: Largest change of brightness and of contrast, as a share.
        rng: Decides.
        crop: Largest shift to each side, pixels; the edge is repeated where nothing is left.
    """
    images = batch.observations.images
    if crop > 0:
        shift = torch.randint(-crop, crop + 1, (2, *images.shape[:2]), generator=rng)
        images = shifted(images, shift.to(images.device))
    if jitter > 0:
        change = (1 + jitter * (2 * torch.rand((2, *images.shape[:2], 1, 1, 1), generator=rng) - 1)).to(images.device)
        # contrast c around mid grey, then brightness b: b (c (x - 128) + 128)
        gain = (change[0] * change[1]).bfloat16()
        offset = (change[1] * 128 * (1 - change[0])).bfloat16()
        images = images.bfloat16().mul_(gain).add_(offset).clamp_(0, 255).to(torch.uint8)
    return batch._replace(observations=batch.observations._replace(images=images))


def shifted(images: UInt8[Tensor, "B V S S 3"], shift: Int64[Tensor, "2 B V"]) -> UInt8[Tensor, "B V S S 3"]:
    """Every view cut out `shift` pixels further down and to the right, its edges repeated."""
    count, views, size = images.shape[:3]
    line = torch.arange(size, device=images.device)
    down, right = (line + shift[..., None]).clamp(0, size - 1)
    row = torch.arange(count, device=images.device)[:, None, None, None]
    view = torch.arange(views, device=images.device)[:, None, None]
    return images[row, view, down[..., :, None], right[..., None, :]]


def check_crop(crop: int, data: TrainingData, cached: bool = False) -> None:
    """Checks that views may be cropped at random.

    Args:
        crop: See `augment`.
        data: The training set.
        cached: What a frozen encoder sees is computed once an observation.

    Raises:
        InputError: They may not.
    """
    size = data.images.shape[2]
    if crop > 0 and data.goal is not None:
        raise InputError(
            "--crop shifts the views, but the cameras are calibrated: a pixel would no longer show the place in space "
            "that the calibration says. Leave --crop out."
        )
    if crop > 0 and cached:
        raise InputError(
            "--crop changes nothing that a frozen encoder computes once an observation. Leave --crop out, or train "
            "without these features kept (--backbone.no-cache; no --encoder)."
        )
    if crop > 0 and crop >= size:
        raise InputError(f"--crop {crop} is more than there is of {size} x {size} views: choose a few percent of it.")
