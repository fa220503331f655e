"""Features of a frozen encoder on disk, beside its weights: whoever trains another objective over it reads them."""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.checkpoint import file_sha256
from train.data import TrainingData


def feature_file(encoder: Path, data: TrainingData, batch_size: int) -> Path:
    """Where the features of a dataset are kept, by encoder, observations and frames at a time.

    Args:
        encoder: Weights of the encoder.
        data: The dataset.
        batch_size: See `FeatureCache`; rounding may depend on it.
    """
    digest = hashlib.sha256(f"{file_sha256(encoder)} {batch_size}".encode())
    for tensor in (data.images, data.proprioception, data.words, data.tip, data.views):
        digest.update(str(None if tensor is None else tuple(tensor.shape)).encode())
        if tensor is not None:
            digest.update(tensor.contiguous().numpy().data)
    return encoder.parent / "features" / f"{digest.hexdigest()[:16]}.safetensors"


def read_features(path: Path, first: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Reads features; None where there are none, or others than the encoder makes here and now.

    Args:
        path: The file.
        first: Features of the first frames, just made: those of the file must be the same to the bit. So a changed
            program, precision or processor never trains on features of before.
    """
    try:
        stored = load_file(path)
    except (OSError, SafetensorError):
        return None
    if stored.keys() != first.keys():
        return None
    alike = all(torch.equal(stored[name][: len(tensor)], tensor) for name, tensor in first.items())
    return stored if alike else None


def write_features(path: Path, features: Mapping[str, Tensor]) -> str:
    """Writes features, whole or not at all; where that cannot be, training goes on without.

    Returns:
        What became of them, in words.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(dict(features), partial)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            partial.unlink()
        return f"not written to {path.parent} ({error})"
    return f"kept in {path}"
