"""Whether a dataset's columns are what a mapping takes them for."""

import re
from dataclasses import replace
from typing import Any

from envs.spec import InputError
from envs.suite import nearest
from train.lerobot.source import Source
from train.mapping.schema import Mapping
from train.mapping.vectors import is_numeric

_NOT_RGB_PARTS = ("depth", "segment", "mask", "pointcloud", "disparity", "infrared")
_NOT_RGB_WORDS = {"seg", "pcd", "pc", "xyz", "ir"}
_INDICES = ("episode_index", "frame_index", "task_index")


def check_columns(mapping: Mapping, source: Source) -> Mapping:
    """Raises InputError for columns that do not exist or hold the wrong thing.

    Returns:
        The mapping, its cameras found where it takes all of them.
    """
    features = source.features
    if not mapping.cameras:
        mapping = replace(mapping, cameras=rgb_cameras(features))
        if not mapping.cameras:
            raise mapping.error(f"cameras: all, but {source.root} has no colour images. It has: {', '.join(features)}.")
    numeric = [piece.column for piece in (*mapping.state, *mapping.action) if piece.column is not None]
    text = [mapping.instruction[1]] if mapping.instruction[0] == "column" else []
    missing = [name for name in dict.fromkeys((*mapping.cameras.values(), *numeric, *text)) if name not in features]
    if missing:
        named = ", ".join(map(repr, missing))
        hints = "".join(nearest(name, features) for name in missing)
        raise mapping.error(f"{source.root} has no column {named}.{hints} It has: {', '.join(features)}.")
    lost = [name for name in _INDICES if name not in features]
    if lost:
        raise InputError(f"{source.root} lacks the columns {', '.join(lost)} of every LeRobot dataset. {source.remedy}")
    colour = [name for name, feature in features.items() if _why_not_rgb(name, feature) is None]
    for view, name in mapping.cameras.items():
        reason = _why_not_rgb(name, features[name])
        if reason is not None:
            choice = f"Choose one of: {', '.join(colour)}." if colour else "The dataset has no colour images."
            raise mapping.error(f"camera {view!r}: column {name!r} {reason}. {choice}")
    for kind, names, fits in (
        ("numbers", numeric, lambda name: is_numeric(features[name])),
        ("text", text, lambda name: features[name]["dtype"] == "string"),
    ):
        for name in names:
            if not fits(name):
                fitting = ", ".join(each for each in features if fits(each)) or "none"
                raise mapping.error(
                    f"column {name!r} holds {features[name]['dtype']}, not {kind}. Columns with {kind}: {fitting}."
                )
    if mapping.convention.control_mode == "keyframe" and "keyframe_index" not in features:
        raise mapping.error(
            "control_mode keyframe needs the column keyframe_index (which of its episode's keyframes a frame's action "
            f"is), and {source.root} has none. Add it, or write `control_mode: position`.",
        )
    return mapping


def rgb_cameras(features: dict[str, Any]) -> dict[str, str]:
    """All RGB columns of a dataset, by the names of their views: the columns' without what all of these begin with."""
    columns = [name for name, feature in features.items() if _why_not_rgb(name, feature) is None]
    parts = [name.split(".")[:-1] for name in columns]
    shared = 0
    while columns and all(len(part) > shared and part[shared] == parts[0][shared] for part in parts):
        shared += 1
    return {".".join(name.split(".")[shared:]): name for name in columns}


def names_rgb(name: str) -> bool:
    """Whether a column of this name, such as "observation.images.front", can hold RGB views: depth and masks do not."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    return not _NOT_RGB_WORDS.intersection(words) and not any(part in "".join(words) for part in _NOT_RGB_PARTS)


def _why_not_rgb(name: str, feature: dict[str, Any]) -> str | None:
    """Why a column cannot be a camera; None when it can."""
    if feature["dtype"] not in ("image", "video"):
        return f"holds {feature['dtype']}, not images"
    facts = feature.get("info") or feature.get("video_info") or {}
    if not names_rgb(name) or facts.get("is_depth_map", facts.get("video.is_depth_map")):
        return "is a depth, segmentation or mask image, not colour"
    shape = feature["shape"]
    if len(shape) != 3 or 3 not in (shape[0], shape[-1]):
        return f"has shape {shape}, not three colour channels"
    return None
