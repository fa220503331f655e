"""Decodes the image and video columns of a LeRobot dataset.

Shapes: N frames that are wanted, H x W the size they are resized to (pixels).
"""

import io
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Bool, Float64, Int64, UInt8
from PIL import Image, UnidentifiedImageError

from envs.spec import InputError
from train.lerobot.source import Source

_BATCH = 256  # rows of a data file in memory at a time


def read_images(
    source: Source,
    column: str,
    rows: Int64[np.ndarray, " N"],
    out: UInt8[np.ndarray, "N H W 3"],
    advance: Callable[[int], None] = lambda count: None,
) -> Bool[np.ndarray, " N"]:
    """Reads a column of images stored in the data files.

    Args:
        source: The dataset.
        column: Its name.
        rows: Wanted frames, ascending.
        out: Receives them, RGB, resized; left alone where a frame has no image.
        advance: Told how many more images are done.

    Returns:
        Which frames have an image.

    Raises:
        InputError: An image is not RGB, cannot be decoded, or is not stored in the data files.
    """
    present = np.zeros(len(rows), dtype=bool)
    size = (out.shape[2], out.shape[1])
    start = 0

    def decode(cell: Any) -> UInt8[np.ndarray, "H W 3"] | None:
        return _decode(cell, size, source, column)

    with ThreadPoolExecutor() as threads:
        for path in source.paths:
            for batch in pq.ParquetFile(path).iter_batches(_BATCH, columns=[column]):
                first, last = np.searchsorted(rows, [start, start + len(batch)])
                cells = batch.column(0).take(rows[first:last] - start).to_pylist()
                for place, image in enumerate(threads.map(decode, cells), first):
                    if image is not None:
                        out[place], present[place] = image, True
                advance(last - first)
                start += len(batch)
    return present


def _decode(cell: Any, size: tuple[int, int], source: Source, column: str) -> UInt8[np.ndarray, "H W 3"] | None:
    data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
    if data is None and path is not None:
        raise InputError(
            f"{source.root}: column {column!r} names image files ({path}) instead of holding the images. Store them in "
            "the data files, as lerobot does when a recording is finished."
        )
    if data is None:
        return None
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(
            f"{source.root}: an image of column {column!r} is damaged ({error}). {source.remedy}"
        ) from error
    if image.mode not in ("RGB", "RGBA", "P"):
        raise InputError(
            f"{source.root}: column {column!r} holds images of mode {image.mode}, not RGB. Choose a column of colour "
            "images under `cameras`."
        )
    return _resized(image, size)


def _resized(image: Image.Image, size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    """Smoothed when it shrinks; the whole picture is kept, so other shapes are squeezed."""
    image = image.convert("RGB")
    return np.asarray(image if image.size == size else image.resize(size, Image.Resampling.BILINEAR))


def read_video(
    source: Source,
    column: str,
    episode: Int64[np.ndarray, " N"],
    seconds: Float64[np.ndarray, " N"],
    out: UInt8[np.ndarray, "N H W 3"],
    advance: Callable[[int], None] = lambda count: None,
) -> Bool[np.ndarray, " N"]:
    """Reads a video column.

    Args:
        source: The dataset.
        column: Its name.
        episode: Episode of each wanted frame; frames of an episode follow each other in time.
        seconds: Time of each wanted frame since its episode began, s.
        out: Receives them, RGB, resized; left alone for episodes without video.
        advance: Told how many more images are done.

    Returns:
        Which frames have an image.

    Raises:
        InputError: A video file is missing, cut short or cannot be decoded.
    """
    present = np.zeros(len(episode), dtype=bool)
    size = (out.shape[2], out.shape[1])
    files: dict[Path, list[tuple[float, Int64[np.ndarray, " n"]]]] = defaultdict(list)
    keys = [f"videos/{column}/{entry}" for entry in ("chunk_index", "file_index", "from_timestamp")]
    places = {row["episode_index"]: [row[key] for key in keys] for row in source.episodes(*keys)}
    for index in np.unique(episode).tolist():
        wanted = np.flatnonzero(episode == index)
        chunk, file, begin = places.get(index, [None] * 3)
        if any(value is None or math.isnan(value) for value in (chunk, file, begin)):
            advance(len(wanted))  # this episode was recorded without the camera
            continue
        template = source.video_path or "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
        name = template.format(video_key=column, chunk_index=int(chunk), file_index=int(file))
        files[source.root / name].append((float(begin), wanted))
    for path, spans in files.items():
        if not path.is_file():
            raise InputError(f"there is no video {path}, which the dataset's meta/episodes names. {source.remedy}")
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                for begin, wanted in spans:
                    frames = _frames_at(container, stream, begin + seconds[wanted], 0.5 / source.fps + 1e-4)
                    for place, image in zip(wanted, frames, strict=True):
                        out[place] = _resized(image, size)
                        advance(1)
                    present[wanted] = True
        except (av.FFmpegError, IndexError, LookupError) as error:
            raise InputError(f"{path} cannot be used ({error}). {source.remedy}") from error
    return present


def _frames_at(
    container: Any, stream: Any, times: Float64[np.ndarray, " n"], tolerance: float
) -> Iterator[Image.Image]:
    """The frames shown at ascending times (s), found by one pass from the key frame before the first."""
    container.seek(int(max(times[0] - tolerance, 0.0) / stream.time_base), stream=stream)
    waiting = 0
    for frame in container.decode(stream):
        while waiting < len(times) and abs(frame.time - times[waiting]) <= tolerance:
            yield frame.to_image()
            waiting += 1
        if waiting == len(times):
            return
        if frame.time > times[waiting] + tolerance:
            break
    raise LookupError(f"it has no frame at {times[waiting]:.3f} s")
