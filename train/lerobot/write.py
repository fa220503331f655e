"""Writes demonstrations in the layout that `train.lerobot.dataset` describes and reads."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Float64, UInt8
from PIL import Image

from train.lerobot.dataset import (
    CODEBASE_VERSION,
    EPISODES_PATH,
    IMAGE_PREFIX,
    EncodedEpisode,
    Features,
    Frame,
    Stats,
)
from train.lerobot.source import TASKS_PATH

CHUNK_SIZE = 1000  # files a folder
DATA_FILE_MB = 100
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
PNG_LEVEL = 2  # of 9: a tenth larger than the usual 6, three times as fast
IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def encode_episode(
    features: Features, suite_task: str, variation: int, seed: int, frames: Sequence[Frame]
) -> EncodedEpisode:
    """Compresses an episode's images and takes its statistics.

    Raises:
        ValueError: No frames, or arrays whose shape contradicts `features`.
    """
    if not frames:
        raise ValueError(f"{suite_task}, seed {seed}: an episode without frames cannot be stored")
    columns: dict[str, pa.Array] = {}
    stats: Stats = {}
    for camera in features.cameras:
        images = np.stack([frame.images[camera] for frame in frames])
        if images.dtype != np.uint8 or images.shape[1:] != (features.height, features.width, 3):
            raise ValueError(f"camera {camera!r} gave {images.dtype} images of shape {images.shape[1:]}")
        rows = [{"bytes": _png(image), "path": None} for image in images]
        columns[IMAGE_PREFIX + camera] = pa.array(rows, IMAGE_TYPE)
        stats[IMAGE_PREFIX + camera] = _image_statistics(images)
    for name, dim, vectors in (
        ("observation.state", len(features.proprioception), [frame.proprioception for frame in frames]),
        ("action", len(features.action), [frame.action for frame in frames]),
    ):
        matrix = np.stack(vectors).astype(np.float32)
        if matrix.shape != (len(frames), dim):
            raise ValueError(f"{name} has shape {matrix.shape}, declared are {dim} entries")
        columns[name] = _vectors(matrix)
        stats[name] = _vector_statistics(matrix.astype(np.float64))
    columns["keyframe_index"] = pa.array([frame.keyframe_index for frame in frames], pa.int64())
    columns["instruction"] = pa.array([frame.instruction for frame in frames], pa.string())
    return EncodedEpisode(suite_task, variation, seed, pa.table(columns), stats)


def write_dataset(root: Path, features: Features, episodes: Iterable[EncodedEpisode]) -> tuple[int, int]:
    """Writes a dataset into an empty folder, holding one episode in memory at a time.

    The files are a function of the arguments: no times, no machine.

    Args:
        root: Folder; made when it does not exist.
        features: What the frames hold.
        episodes: In the order of their episode index; at least one.

    Returns:
        Number of episodes and of frames.

    Raises:
        ValueError: No episodes.
    """
    tasks: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    stats: list[Stats] = []
    frames = file_index = file_bytes = 0
    writer: pq.ParquetWriter | None = None
    for number, episode in enumerate(episodes):
        for sentence in episode.frames["instruction"].to_pylist():
            tasks.setdefault(sentence, len(tasks))
        table = _indexed(episode.frames, tasks, number, frames, features.fps)
        if writer is not None and file_bytes + table.nbytes > DATA_FILE_MB * 2**20:
            writer.close()
            writer, file_bytes, file_index = None, 0, file_index + 1
        chunk = {"chunk_index": file_index // CHUNK_SIZE, "file_index": file_index % CHUNK_SIZE}
        if writer is None:
            path = root / DATA_PATH.format(**chunk)
            path.parent.mkdir(parents=True, exist_ok=True)
            # Statistics of integers let loaders select episodes; PNG bytes gain nothing from a dictionary.
            integers = [field.name for field in table.schema if pa.types.is_integer(field.type)]
            writer = pq.ParquetWriter(path, table.schema, use_dictionary=False, write_statistics=integers)
        writer.write_table(table)
        file_bytes += table.nbytes
        sentences = list(dict.fromkeys(episode.frames["instruction"].to_pylist()))
        row = {"episode_index": number, "tasks": sentences, "length": len(table)}
        row |= {f"data/{name}": value for name, value in chunk.items()}
        row |= {"dataset_from_index": frames, "dataset_to_index": frames + len(table)}
        row |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        row |= {"suite_task": episode.suite_task, "variation": episode.variation, "seed": episode.seed}
        row |= {f"stats/{key}/{kind}": value for key, kinds in episode.stats.items() for kind, value in kinds.items()}
        rows.append(row)
        stats.append(episode.stats)
        frames += len(table)
    if writer is None:
        raise ValueError("a dataset needs at least one episode")
    writer.close()
    _write_meta(root, features, tasks, rows, stats, frames)
    return len(rows), frames


def _indexed(frames: pa.Table, tasks: Mapping[str, int], episode: int, start: int, fps: int) -> pa.Table:
    """Replaces the sentence by its index and adds LeRobot's default columns."""
    n = len(frames)
    order = np.arange(n)
    task_index = [tasks[sentence] for sentence in frames["instruction"].to_pylist()]
    table = frames.drop_columns(["instruction"])
    for name, values in (
        ("timestamp", (order / fps).astype(np.float32)),
        ("frame_index", order),
        ("episode_index", np.full(n, episode)),
        ("index", start + order),
        ("task_index", np.array(task_index, np.int64)),
    ):
        table = table.append_column(name, pa.array(values))
    return table


def _write_meta(
    root: Path, features: Features, tasks: dict[str, int], rows: list[dict[str, Any]], stats: list[Stats], frames: int
) -> None:
    def feature(dtype: str, shape: Sequence[int], names: Sequence[str] | None) -> dict[str, Any]:
        return {"dtype": dtype, "shape": list(shape), "names": list(names) if names else None}

    image = feature("image", (features.height, features.width, 3), ("height", "width", "channels"))
    declared = {IMAGE_PREFIX + camera: image for camera in features.cameras}
    declared["observation.state"] = feature("float32", [len(features.proprioception)], features.proprioception)
    declared["action"] = feature("float32", [len(features.action)], features.action)
    declared["keyframe_index"] = feature("int64", [1], None)
    declared["timestamp"] = feature("float32", [1], None)
    for name in ("frame_index", "episode_index", "index", "task_index"):
        declared[name] = feature("int64", [1], None)
    info = {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": features.robot,
        "total_episodes": len(rows),
        "total_frames": frames,
        "total_tasks": len(tasks),
        "chunks_size": CHUNK_SIZE,
        "data_files_size_in_mb": DATA_FILE_MB,
        "video_files_size_in_mb": 200,
        "fps": features.fps,
        "splits": {"train": f"0:{len(rows)}"},
        "data_path": DATA_PATH,
        "video_path": None,
        "features": declared,
    }
    (root / "meta").mkdir(parents=True, exist_ok=True)
    (root / EPISODES_PATH).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), root / EPISODES_PATH)
    # LeRobot reads this table with pandas and looks sentences up in its index.
    pd.DataFrame({"task_index": list(tasks.values())}, pd.Index(list(tasks), name="task")).to_parquet(root / TASKS_PATH)
    total = {name: _merged([each[name] for each in stats]) for name in stats[0]}
    for name, content in (("stats.json", total), ("info.json", info)):
        (root / "meta" / name).write_text(json.dumps(content, indent=2) + "\n")


def _vector_statistics(values: Float64[np.ndarray, "n d"]) -> dict[str, Any]:
    kinds = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    return {kind: value.tolist() for kind, value in kinds.items()} | {"count": [len(values)]}


def _image_statistics(images: UInt8[np.ndarray, "n H W 3"]) -> dict[str, Any]:
    """By channel, scaled to 0 .. 1; from histograms, which is exact and far cheaper than floating-point images."""
    levels = np.arange(256) / 255.0
    kinds: dict[str, list[Any]] = {kind: [] for kind in ("min", "max", "mean", "std")}
    for channel in range(3):
        shares = np.bincount(images[..., channel].ravel(), minlength=256) / images[..., channel].size
        present = levels[shares > 0]
        mean = float(shares @ levels)
        std = float(np.sqrt(shares @ (levels - mean) ** 2))
        for kind, value in zip(kinds, (float(present[0]), float(present[-1]), mean, std), strict=True):
            kinds[kind].append([[value]])
    return kinds | {"count": [len(images)]}


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Statistics of the union of several sets, from those of each."""
    stacked = {kind: np.array([part[kind] for part in parts], dtype=np.float64) for kind in parts[0]}
    counts = stacked["count"][:, 0]
    weights = (counts / counts.sum()).reshape(-1, *[1] * (stacked["mean"].ndim - 1))
    mean = (weights * stacked["mean"]).sum(0)
    variance = (weights * (stacked["std"] ** 2 + (stacked["mean"] - mean) ** 2)).sum(0)
    return {
        "min": stacked["min"].min(0).tolist(),
        "max": stacked["max"].max(0).tolist(),
        "mean": mean.tolist(),
        "std": np.sqrt(variance).tolist(),
        "count": [int(counts.sum())],
    }


def _vectors(matrix: Float32[np.ndarray, "n d"]) -> pa.Array:
    """Rows as fixed-size lists; plain numbers when they have one entry, as LeRobot has it."""
    flat = pa.array(matrix.reshape(-1))
    return flat if matrix.shape[1] == 1 else pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])


def _png(image: UInt8[np.ndarray, "H W 3"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()
