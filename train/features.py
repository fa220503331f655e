"""Features of a frozen encoder, computed once an observation and kept in memory."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from model.observation import ObservationBatch
from train.data import TrainingData
from train.lerobot.memory import available_memory

_SHARE = 0.7  # of the free memory that features may take


class FeatureCache:
    """What an encoder's `look` makes of every frame of a dataset.

    Numbers are kept in bfloat16, but for the pointer's logits, whose sub-cell meaning needs more digits.

    Args:
        look: Of a frozen encoder; gives a named tuple of tensors.
        data: The frames, as they are: no augmentation of what is computed once.
        batch_size: Frames at a time.
        device: Where to compute; the features stay on the CPU.

    Raises:
        MemoryError: They do not fit into the free memory.
    """

    def __init__(
        self, look: Callable[[ObservationBatch], Any], data: TrainingData, batch_size: int, device: str
    ) -> None:
        began, parts = time.monotonic(), []
        with torch.no_grad():
            for rows in torch.arange(len(data)).split(batch_size):
                made = look(data.batch(rows, device).observations)
                parts.append([_kept(name, tensor) for name, tensor in made._asdict().items()])
                if len(parts) == 1:
                    needed = _size(parts[0]) * len(data) / len(rows)
                    free = available_memory()
                    if free is not None and needed > _SHARE * free:
                        raise MemoryError(f"they take {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free")
        self._make: Callable[..., Any] = type(made)
        self._types = [tensor.dtype for tensor in made]
        self._features = [torch.cat(column) for column in zip(*parts, strict=True)]
        size = _size(self._features) / 2**30
        print(f"features of {len(data)} frames: {size:.2f} GiB, {time.monotonic() - began:.0f} s", flush=True)

    @classmethod
    def if_it_fits(
        cls, look: Callable[[ObservationBatch], Any], data: TrainingData, batch_size: int, device: str
    ) -> "FeatureCache | None":
        """The features, or None and a line that says why."""
        try:
            return cls(look, data, batch_size, device)
        except MemoryError as error:
            print(f"features are not kept: {error}. The encoder runs at every step.", flush=True)
            return None

    def rows(self, rows: Tensor, device: str) -> Any:
        """The features of some frames, as `look` would give them."""
        pairs = zip(self._features, self._types, strict=True)
        return self._make(*(tensor[rows].to(device, dtype) for tensor, dtype in pairs))


def _kept(name: str, tensor: Tensor) -> Tensor:
    tensor = tensor.cpu()
    if name == "logits" or not tensor.is_floating_point():
        return tensor
    return tensor.bfloat16()


def _size(tensors: list[Tensor]) -> int:
    return sum(tensor.element_size() * tensor.numel() for tensor in tensors)
