"""Features of a frozen encoder, computed once an observation and kept in memory."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.observation import ObservationBatch
from train.data import TrainingData
from train.feature_store import feature_file, read_features, write_features
from train.lerobot.memory import available_memory

_SHARE = 0.7  # of the free memory that features may take
_LINE_EVERY_S = 10.0


class FeatureCache:
    """What an encoder's `look` makes of every frame of a dataset.

    Numbers are kept in bfloat16, but for the pointer's logits, whose sub-cell meaning needs more digits.

    Args:
        look: Of a frozen encoder; gives a named tuple of tensors.
        data: The frames, as they are: no augmentation of what is computed once.
        batch_size: Frames at a time.
        device: Where to compute; the features stay on the CPU.
        encoder: File of the encoder's weights, beside which features are kept for other runs; None for features that
            are only for this one.

    Raises:
        MemoryError: They do not fit into the free memory.
    """

    def __init__(
        self,
        look: Callable[[ObservationBatch], Any],
        data: TrainingData,
        batch_size: int,
        device: str,
        encoder: Path | None = None,
    ) -> None:
        began = time.monotonic()
        pieces = torch.arange(len(data)).split(batch_size)
        with torch.no_grad():
            made = look(data.batch(pieces[0], device).observations)
            first = _kept(made)
            _check_room(first, len(data))
            file = None if encoder is None else feature_file(encoder, data, batch_size)
            features = None if file is None else read_features(file, first)
            if features is not None:
                how = f"read from {file}"
            else:
                features = _all(look, data, pieces, device, first)
                how = f"{time.monotonic() - began:.0f} s" + (f", {write_features(file, features)}" if file else "")
        self._make: Callable[..., Any] = type(made)
        self._types = [tensor.dtype for tensor in made]
        self._features = [features[name] for name in made._fields]
        print(f"features of {len(data)} frames: {_size(features) / 2**30:.2f} GiB, {how}", flush=True)

    @classmethod
    def if_it_fits(cls, *arguments: Any) -> "FeatureCache | None":
        """The features, or None and a line that says why. Arguments: those of the class."""
        try:
            return cls(*arguments)
        except MemoryError as error:
            print(f"features are not kept: {error}. The encoder runs at every step.", flush=True)
            return None

    def rows(self, rows: Tensor, device: str) -> Any:
        """The features of some frames, as `look` would give them."""
        pairs = zip(self._features, self._types, strict=True)
        return self._make(*(tensor[rows].to(device, dtype) for tensor, dtype in pairs))


def _all(
    look: Callable[[ObservationBatch], Any],
    data: TrainingData,
    pieces: tuple[Tensor, ...],
    device: str,
    first: dict[str, Tensor],
) -> dict[str, Tensor]:
    parts, began = [first], time.monotonic()
    said = began
    for k, rows in enumerate(pieces[1:], 1):
        parts.append(_kept(look(data.batch(rows, device).observations)))
        now = time.monotonic()
        if now - said > _LINE_EVERY_S:
            said = now
            left = (now - began) / k * (len(pieces) - 1 - k) / 60
            done = int(rows[-1]) + 1
            print(f"features of the frozen encoder: {done} of {len(data)} frames, {left:.0f} min left", flush=True)
    return {name: torch.cat([part[name] for part in parts]) for name in first}


def _check_room(first: dict[str, Tensor], frames: int) -> None:
    needed = _size(first) * frames / len(next(iter(first.values())))
    free = available_memory()
    if free is not None and needed > _SHARE * free:
        raise MemoryError(f"they take {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free")


def _kept(made: Any) -> dict[str, Tensor]:
    return {
        name: tensor.cpu() if name == "logits" or not tensor.is_floating_point() else tensor.cpu().bfloat16()
        for name, tensor in made._asdict().items()
    }


def _size(features: dict[str, Tensor]) -> int:
    return sum(tensor.element_size() * tensor.numel() for tensor in features.values())
