"""Demonstrations on disk, in the layout of LeRobotDataset v3.0: what is where, and the reader.

    <root>/meta/info.json                                features, counts, path templates
    <root>/meta/stats.json                               min, max, mean, std, count of each feature
    <root>/meta/tasks.parquet                            task_index of each instruction sentence
    <root>/meta/episodes/chunk-000/file-000.parquet      one row an episode: length, where its rows are, its statistics
    <root>/data/chunk-000/file-000.parquet               one row a frame, one row group an episode

Images are lossless PNG inside the data files. What LeRobot has no place for rides along where its loader ignores it:
`suite_task`, `variation` and `seed` in the episodes' table, `keyframe_index` as a feature of its own.
"""

import io
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int64, UInt8
from PIL import Image

from envs.spec import InputError

CODEBASE_VERSION = "v3.0"
IMAGE_PREFIX = "observation.images."
TASKS_PATH = "meta/tasks.parquet"
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


def read_dataset(root: Path | str) -> DemoDataset:
    """Reads a whole dataset into memory: ours, or any LeRobot v3 dataset with embedded images and a state vector.

    Raises:
        InputError: The folder is missing, empty, cut short, or holds something else.
    """
    root = Path(root)
    remedy = "Write demonstrations with `python -m train.demos --suite rlbench18`."
    if not root.is_dir():
        raise InputError(f"there is no folder {root}. {remedy}")
    if not (root / "meta/info.json").is_file():
        raise InputError(f"{root} holds no finished LeRobot dataset (meta/info.json is missing). {remedy}")
    info = json.loads((root / "meta/info.json").read_text())
    if not str(info.get("codebase_version", "")).startswith("v3."):
        raise InputError(
            f"{root} has LeRobot layout {info.get('codebase_version')!r}; convert it to v3.0 with lerobot."
        )
    declared: dict[str, dict[str, Any]] = info["features"]
    keys = [name for name, feature in declared.items() if feature["dtype"] == "image"]
    if not keys or not {"observation.state", "action"} <= set(declared):
        raise InputError(f"{root} needs images stored in the data files, observation.state and action. {remedy}")
    paths = sorted((root / "data").glob("*/*.parquet"))
    total = sum(pq.read_metadata(path).num_rows for path in paths)
    if total == 0 or total != info["total_frames"]:
        raise InputError(f"{root} has {total} frames where meta/info.json promises {info['total_frames']}. {remedy}")

    height, width = declared[keys[0]]["shape"][:2]
    images = np.empty((total, len(keys), height, width, 3), np.uint8)
    scalars: dict[str, list[Int64[np.ndarray, " n"]]] = {}
    vectors: dict[str, list[Float32[np.ndarray, "n d"]]] = {"observation.state": [], "action": []}
    start = 0
    with ThreadPoolExecutor() as threads:
        for path in paths:
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                for view, key in enumerate(keys):
                    png = table[key].combine_chunks().field("bytes").to_pylist()
                    for row, image in enumerate(threads.map(_decode_png, png), start):
                        images[row, view] = image
                for name, parts in vectors.items():
                    parts.append(_matrix(table[name]))
                for name in ("episode_index", "frame_index", "task_index", "keyframe_index"):
                    column = table[name if name in table.column_names else "frame_index"]
                    scalars.setdefault(name, []).append(column.to_numpy().astype(np.int64))
                start += len(table)
    indices = {name: np.concatenate(parts) for name, parts in scalars.items()}
    sentences = {index: sentence for sentence, index in pd.read_parquet(root / TASKS_PATH).task_index.items()}
    instructions = [str(sentences[index]) for index in indices.pop("task_index")]
    return DemoDataset(
        images=images,
        cameras=tuple(key.removeprefix(IMAGE_PREFIX) for key in keys),
        proprioception=np.concatenate(vectors["observation.state"]),
        proprioception_names=tuple(declared["observation.state"].get("names") or ()),
        instructions=instructions,
        actions=np.concatenate(vectors["action"]),
        task=_suite_tasks(root, indices["episode_index"], instructions),
        **indices,
    )


def _suite_tasks(root: Path, episode_index: Int64[np.ndarray, " N"], instructions: list[str]) -> list[str]:
    """The suite task of each frame; its instruction in datasets that do not tell."""
    tables = [pq.read_table(path) for path in sorted((root / "meta/episodes").glob("*/*.parquet"))]
    if not tables or any("suite_task" not in table.column_names for table in tables):
        return instructions
    names = {row["episode_index"]: row["suite_task"] for table in tables for row in table.to_pylist()}
    return [str(names[index]) for index in episode_index]


def _matrix(column: pa.ChunkedArray) -> Float32[np.ndarray, "n d"]:
    flat = column.combine_chunks()
    if not pa.types.is_floating(flat.type):
        flat = flat.flatten()
    return np.asarray(flat.to_numpy(zero_copy_only=False), np.float32).reshape(len(column), -1)


def _decode_png(data: bytes) -> UInt8[np.ndarray, "H W 3"]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
