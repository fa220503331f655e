"""Which demonstrated frames an encoder still points wrong in, so that training sees more of them.

Most keyframes of a demonstration (sink, close, rise) are found within minutes; those that a word decides are a few of a
hundred, and uniform batches hardly ever show them. Frames are drawn by group, all keyframes of one number of a task,
not one by one: a frame that was found by chance is as hard as its neighbours.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from model.encoder import Encoder
from train.data import TrainingData
from train.errors import FOUND

_FRAMES = 4000  # enough to tell groups apart
_SALT = 7  # keeps these draws apart from others of the same seed and step


class HardRows:
    """Draws frames in proportion to how often the frames of their group are lost.

    Args:
        task: Of each frame.
        keyframe: Number of the keyframe that each frame leads to.
        looked_at: Frames that the encoder was tried on.
        lost: Of these, whether the point was more than `FOUND` off.
    """

    def __init__(
        self,
        task: Sequence[str],
        keyframe: Int64[np.ndarray, " N"],
        looked_at: Int64[np.ndarray, " n"],
        lost: Bool[np.ndarray, " n"],
    ) -> None:
        names = [f"{name}/{number}" for name, number in zip(task, keyframe.tolist(), strict=True)]
        self.groups, group = np.unique(names, return_inverse=True)
        count = np.bincount(group[looked_at], minlength=len(self.groups))
        missed = np.bincount(group[looked_at], weights=lost, minlength=len(self.groups))
        self.shares: Float[np.ndarray, " groups"] = missed / np.maximum(count, 1)
        weights = self.shares[group]
        self.probability = weights / weights.sum() if weights.any() else np.full(len(group), 1 / len(group))

    def draw(self, step: int, count: int, seed: int) -> Int64[torch.Tensor, " count"]:
        """Frames of a step, with replacement. A function of its arguments."""
        rng = np.random.default_rng((seed, step, _SALT))
        return torch.from_numpy(rng.choice(len(self.probability), size=count, p=self.probability))


@torch.no_grad()
def hard_rows(encoder: Encoder, data: TrainingData, batch_size: int, device: str, precision: torch.dtype) -> HardRows:
    """Tries an encoder with calibrated cameras on frames spread evenly over the data.

    Args:
        encoder: The encoder.
        data: Training set, with goals and keyframe numbers.
        batch_size: Frames at once.
        device: Torch device.
        precision: Arithmetic of the encoder.
    """
    assert data.goal is not None and data.keyframe is not None
    rows = torch.linspace(0, len(data) - 1, min(_FRAMES, len(data))).round().long().unique()
    encoder = encoder.to(device).eval()
    lost = []
    with torch.autocast(device.split(":")[0], precision, enabled=precision != torch.float32):
        for piece in rows.split(batch_size):
            batch = data.batch(piece, device)
            places = encoder(batch.observations).places
            assert places is not None and batch.goal is not None
            lost.append(((places.point - batch.goal).norm(dim=-1) > FOUND).cpu())
    encoder.train()
    return HardRows(data.task, data.keyframe.numpy(), rows.numpy(), torch.cat(lost).numpy())
