"""Demonstrations on disk, in the layout of LeRobotDataset v3.0: what is where, and the reader.

    <root>/meta/info.json                                features, counts, path templates
    <root>/meta/stats.json                               min, max, mean, std, count of each feature
    <root>/meta/tasks.parquet                            task_index of each instruction sentence
    <root>/meta/episodes/chunk-000/file-000.parquet      one row an episode: length, where its rows are, its statistics
    <root>/data/chunk-000/file-000.parquet               one row a frame, one row group an episode

Images are lossless PNG inside the data files. What LeRobot has no place for rides along where its loader ignores it:
`suite_task`, `variation` and `seed` in the episodes' table, `keyframe_index` as a feature of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Int64, UInt8

from envs.spec import InputError
from train.lerobot.images import read_images
from train.lerobot.source import open_source

CODEBASE_VERSION = "v3.0"
IMAGE_PREFIX = "observation.images."
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"

# feature -> statistic ("min", "max", "mean", "std", "count") -> nested list; images: [3, 1, 1], scaled to 0 .. 1
Stats = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Features:
    """What every frame of a dataset holds.

    Attributes:
        cameras: Camera names, in order.
        height: Of the images, pixels.
        width: Of the images, pixels.
        proprioception: Name of each entry of the proprioception vector.
        action: Name of each entry of the native action.
        fps: Frames a second; 1 where a frame is a keyframe and has no duration.
        robot: Robot name.
    """

    cameras: tuple[str, ...]
    height: int
    width: int
    proprioception: tuple[str, ...]
    action: tuple[str, ...]
    fps: int
    robot: str


class Frame(NamedTuple):
    """One row: an observation and the action taken from it.

    `images`: camera -> uint8 [H, W, 3]; `proprioception`: float32 [P]; `action`: float32 [A], native;
    `keyframe_index`: which of the episode's keyframe actions it is.
    """

    images: Mapping[str, UInt8[np.ndarray, "H W 3"]]
    proprioception: Float32[np.ndarray, " P"]
    action: Float32[np.ndarray, " A"]
    keyframe_index: int
    instruction: str


@dataclass(frozen=True)
class EncodedEpisode:
    """An episode ready to be written: its frames without the indices that depend on its place in a dataset."""

    suite_task: str
    variation: int
    seed: int
    frames: pa.Table
    stats: Stats


@dataclass(frozen=True)
class DemoDataset:
    """A dataset in memory; N frames, V cameras, P proprioception entries, A native action entries.

    Attributes:
        images: RGB.
        cameras: Name of each view.
        proprioception: See `proprioception_names`.
        proprioception_names: Name of each entry.
        instructions: Instruction sentence of each frame.
        actions: Native action taken from each frame.
        episode_index: Episode of each frame, 0-based.
        frame_index: Order of the frame in its episode, 0-based.
        keyframe_index: Index in the episode of the keyframe action that the frame carries; equals `frame_index`
            where the dataset has no frames between keyframes.
        task: Suite task of each frame.
        views: True where the view was recorded; None where all were. Images of other views are black.
    """

    images: UInt8[np.ndarray, "N V H W 3"]
    cameras: tuple[str, ...]
    proprioception: Float32[np.ndarray, "N P"]
    proprioception_names: tuple[str, ...]
    instructions: list[str]
    actions: Float32[np.ndarray, "N A"]
    episode_index: Int64[np.ndarray, " N"]
    frame_index: Int64[np.ndarray, " N"]
    keyframe_index: Int64[np.ndarray, " N"]
    task: list[str]
    views: Bool[np.ndarray, "N V"] | None = None


def read_dataset(root: Path | str) -> DemoDataset:
    """Reads a whole dataset into memory: ours, or any LeRobot v3 dataset with embedded images and a state vector.

    Datasets of other columns, of videos, or of other meanings are read through a mapping (`train.mapping.read`).

    Raises:
        InputError: The folder is missing, empty, cut short, or holds something else.
    """
    remedy = "Write demonstrations with `python -m train.demos --suite rlbench18`."
    source = open_source(Path(root), remedy)
    declared = source.features
    keys = [name for name, feature in declared.items() if feature["dtype"] == "image"]
    videos = any(feature["dtype"] == "video" for feature in declared.values())
    if videos or not {"observation.state", "action"} <= set(declared):
        raise InputError(
            f"{root} needs images stored in the data files, observation.state and action. {remedy} Other LeRobot "
            "datasets are read through a mapping file (train/mapping/examples has examples)."
        )
    height, width = declared[keys[0]]["shape"][:2] if keys else (0, 0)
    images = np.empty((source.frames, len(keys), height, width, 3), np.uint8)
    for view, key in enumerate(keys):
        if not read_images(source, key, np.arange(source.frames), images[:, view]).all():
            raise InputError(f"{root} has frames without an image of {key!r}. {remedy}")
    episode_index = source.integers("episode_index")
    instructions = source.sentences()
    return DemoDataset(
        images=images,
        cameras=tuple(key.removeprefix(IMAGE_PREFIX) for key in keys),
        proprioception=source.matrix("observation.state"),
        proprioception_names=tuple(declared["observation.state"].get("names") or ()),
        instructions=instructions,
        actions=source.matrix("action"),
        episode_index=episode_index,
        frame_index=source.integers("frame_index"),
        keyframe_index=source.integers("keyframe_index" if "keyframe_index" in declared else "frame_index"),
        task=source.suite_tasks(episode_index, instructions),
    )
