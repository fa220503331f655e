"""A LeRobotDataset v3.0 folder, checked and readable column by column.

<root>/meta/info.json                                features, counts, path templates
<root>/meta/tasks.parquet                            task_index of each instruction sentence
<root>/meta/episodes/chunk-000/file-000.parquet      one row an episode: length, where its rows and videos are
<root>/data/chunk-000/file-000.parquet               one row a frame
<root>/videos/<column>/chunk-000/file-000.mp4        frames of video columns, many episodes a file
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int64

from envs.spec import InputError

INFO_PATH = "meta/info.json"
TASKS_PATH = "meta/tasks.parquet"


@dataclass(frozen=True)
class Source:
    """A dataset on disk.

    Attributes:
        root: Its folder.
        remedy: What to do when it is damaged; ends error messages.
        features: Declared columns: dtype, shape, names.
        fps: Frames a second.
        frames: Number of frames.
        paths: Data files, in order.
        video_path: Template of the video files, relative to the folder.
    """

    root: Path
    remedy: str
    features: dict[str, dict[str, Any]]
    fps: float
    frames: int
    paths: tuple[Path, ...]
    video_path: str | None

    def column(self, name: str) -> list[pa.ChunkedArray]:
        """A column, one piece a data file.

        Raises:
            InputError: A data file lacks it.
        """
        pieces = []
        for path in self.paths:
            file = pq.ParquetFile(path)
            if name not in file.schema_arrow.names:
                raise InputError(f"{path} has no column {name!r}, which meta/info.json promises. {self.remedy}")
            pieces.append(file.read(columns=[name])[name])
        return pieces

    def matrix(self, name: str) -> Float32[np.ndarray, "N d"]:
        """A column of numbers or of vectors, flattened to one vector a frame.

        Raises:
            InputError: It has gaps, or vectors of another length than declared.
        """
        width = int(np.prod(self.features[name]["shape"]))
        parts = []
        for piece in self.column(name):
            flat = piece.combine_chunks()
            while pa.types.is_list(flat.type) or pa.types.is_large_list(flat.type) or _is_fixed(flat.type):
                flat = flat.flatten()
            if flat.null_count or len(flat) != len(piece) * width:
                raise InputError(
                    f"{self.root}: column {name!r} does not hold {width} numbers in every frame, which meta/info.json "
                    f"promises. {self.remedy}"
                )
            parts.append(np.asarray(flat.to_numpy(zero_copy_only=False), np.float32).reshape(len(piece), width))
        return np.concatenate(parts)

    def integers(self, name: str) -> Int64[np.ndarray, " N"]:
        """A column of whole numbers."""
        return np.concatenate([piece.to_numpy().astype(np.int64) for piece in self.column(name)])

    def strings(self, name: str) -> list[str]:
        """A column of text."""
        return [str(text or "") for piece in self.column(name) for text in piece.to_pylist()]

    def sentences(self) -> list[str]:
        """The instruction sentence of each frame.

        Raises:
            InputError: The table of sentences is missing or incomplete.
        """
        path = self.root / TASKS_PATH
        if not path.is_file():
            raise InputError(f"{self.root} has no instruction sentences ({TASKS_PATH} is missing). {self.remedy}")
        table = pd.read_parquet(path)
        if "task" in table.columns:
            table = table.set_index("task")
        known = {int(index): str(sentence) for sentence, index in table.task_index.items()}
        indices = self.integers("task_index")
        unknown = sorted(set(indices.tolist()) - set(known))
        if unknown:
            raise InputError(f"{path} has no sentence for task_index {unknown[0]}. {self.remedy}")
        return [known[index] for index in indices.tolist()]

    def episodes(self, *names: str) -> list[dict[str, Any]]:
        """One row an episode: `episode_index` and the named entries, None where there is none."""
        rows: list[dict[str, Any]] = []
        for path in sorted((self.root / "meta/episodes").glob("*/*.parquet")):
            file = pq.ParquetFile(path)
            present = [name for name in ("episode_index", *names) if name in file.schema_arrow.names]
            rows += file.read(columns=present).to_pylist()
        return [dict.fromkeys(names) | row for row in rows]

    def suite_tasks(self, episode_index: Int64[np.ndarray, " n"], instructions: list[str]) -> list[str]:
        """The suite task of each of some frames; its instruction in datasets that do not tell."""
        names = {row["episode_index"]: row["suite_task"] for row in self.episodes("suite_task")}
        if not names or None in names.values():
            return instructions
        return [str(names[index]) for index in episode_index.tolist()]


def _is_fixed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))


def open_source(root: Path, remedy: str) -> Source:
    """Opens a dataset.

    Args:
        root: Folder.
        remedy: A sentence that says where a whole dataset comes from.

    Raises:
        InputError: The folder is missing, empty, cut short, or holds something else.
    """
    if not root.is_dir():
        raise InputError(f"there is no folder {root}. {remedy}")
    if not (root / INFO_PATH).is_file():
        raise InputError(f"{root} holds no finished LeRobot dataset ({INFO_PATH} is missing). {remedy}")
    try:
        info = json.loads((root / INFO_PATH).read_text())
        version, features = str(info["codebase_version"]), dict(info["features"])
        promised, fps = int(info["total_frames"]), float(info["fps"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{root / INFO_PATH} is damaged ({type(error).__name__}: {error}). {remedy}") from error
    if not version.startswith("v3."):
        raise InputError(
            f"{root} has LeRobot layout {version!r}, not v3.0. Convert it with the script convert_dataset_v21_to_v30 "
            "of the lerobot package, or fetch a copy in the newer layout."
        )
    paths = tuple(sorted((root / "data").glob("*/*.parquet")))
    try:
        found = sum(pq.read_metadata(path).num_rows for path in paths)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{root}: a data file is damaged ({error}). {remedy}") from error
    if found == 0 or found != promised:
        raise InputError(f"{root} has {found} frames where {INFO_PATH} promises {promised}. {remedy}")
    return Source(root, remedy, features, fps, found, paths, info.get("video_path"))
