"""Which entries of an observation are RGB views: depth, segmentation, masks and point clouds are not."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from envs.spec import InputError

_NOT_RGB_PARTS = ("depth", "segment", "mask", "pointcloud", "disparity")
_NOT_RGB_WORDS = {"seg", "pcd", "pc", "xyz"}


def names_rgb(name: str) -> bool:
    """Whether a key, such as "observation.images.front" or "front_depth", can name an RGB view."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    return not _NOT_RGB_WORDS.intersection(words) and not any(part in "".join(words) for part in _NOT_RGB_PARTS)


def rgb_views(observation: Mapping[str, Any]) -> dict[str, UInt8[np.ndarray, "H W 3"]]:
    """The RGB views of an observation, in its order.

    Args:
        observation: A Gymnasium observation (dictionaries may be nested) or a row of a LeRobot dataset.

    Returns:
        Views by name; names of nested entries are joined by dots, without what all their names begin with.

    Raises:
        InputError: No entry is an RGB view: an array of bytes, height x width x 3, not named after something else.
    """
    entries = dict(_flat(observation))
    views = {
        name: value
        for name, value in entries.items()
        if names_rgb(name) and value.dtype == np.uint8 and value.ndim == 3 and value.shape[-1] == 3
    }
    if not views:
        seen = ", ".join(f"{name} ({value.dtype} {list(value.shape)})" for name, value in entries.items())
        raise InputError(
            f"no RGB view among the observation's entries: {seen or 'none'}. Give camera pictures as uint8 arrays "
            "[height, width, 3] under names without depth, segmentation, mask or point cloud."
        )
    parts = [name.split(".")[:-1] for name in views]
    shared = 0
    while all(len(part) > shared and part[shared] == parts[0][shared] for part in parts):
        shared += 1
    return {".".join(name.split(".")[shared:]): view for name, view in views.items()}


def _flat(entries: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    for key, value in entries.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            # A list is no picture, and may be ragged.
            yield f"{prefix}{key}", np.asarray(value, dtype=object if isinstance(value, (list, tuple)) else None)
