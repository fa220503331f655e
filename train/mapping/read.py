"""Reads any LeRobotDataset v3 through a mapping (`train.mapping`) into demonstrations of one of our embodiments."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from envs.spec import InputError
from train.lerobot.dataset import DemoDataset
from train.lerobot.hub import download_command, locate
from train.lerobot.images import read_images, read_video
from train.lerobot.memory import available_memory
from train.lerobot.progress import ReadProgress
from train.lerobot.source import Source, open_source
from train.mapping.checks import check_gripper
from train.mapping.columns import check_columns
from train.mapping.schema import Mapping
from train.mapping.vectors import Vectors


def read_mapped(mapping: Mapping, root_or_name: Path | str | None = None, held_out: bool = False) -> DemoDataset:
    """Reads a dataset into memory. Everything but the images is checked before the first image is decoded.

    Each frame counts as a keyframe of its own unless the control mode is "keyframe"; train with
    `mapping.convention`.

    Args:
        mapping: What its columns mean.
        root_or_name: Folder, or name on the hub; the mapping's own when left out.
        held_out: The validation episodes instead of the training ones.

    Raises:
        InputError: There is no such dataset, it is damaged or does not fit the mapping, or it does not fit into memory.
    """
    name = root_or_name or mapping.dataset
    if name is None:
        raise InputError(f"{mapping.path} names no dataset. Add `dataset: user/dataset` to it, or give a folder.")
    folder = locate(name)
    command = download_command(str(name)) if not Path(name).is_dir() else "hf download user/dataset --repo-type dataset"
    source = open_source(folder, f"Record it again, or download all of it with `{command}`.")
    mapping = check_columns(mapping, source)
    rows, episode_index, frame_index = _frames(mapping, source, held_out)
    vectors = Vectors(mapping, source, rows)
    actions = vectors.action()
    check_gripper(actions, mapping.convention, mapping.embodiment, mapping.error)
    proprioception, proprioception_names = vectors.state()
    instructions = _instructions(mapping, source, rows)
    keyframe_index = frame_index
    if mapping.convention.control_mode == "keyframe":
        keyframe_index = source.integers("keyframe_index")[rows]
    seconds = frame_index * mapping.stride / source.fps  # exact, where the stored timestamps are rounded
    images, views = _images(mapping, source, rows, episode_index, seconds)
    return DemoDataset(
        images=images,
        cameras=tuple(mapping.cameras),
        proprioception=proprioception,
        proprioception_names=proprioception_names,
        instructions=instructions,
        actions=actions,
        episode_index=episode_index,
        frame_index=frame_index,
        keyframe_index=keyframe_index,
        task=source.suite_tasks(episode_index, instructions),
        views=None if views.all() else views,
    )


def _frames(
    mapping: Mapping, source: Source, held_out: bool
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Rows that are kept, their episode, and their order in it."""
    episode, frame = source.integers("episode_index"), source.integers("frame_index")
    starts = np.diff(episode, prepend=-1) != 0
    expected = np.arange(len(episode)) - np.maximum.accumulate(np.where(starts, np.arange(len(episode)), 0))
    if (frame != expected).any() or len(np.unique(episode)) != starts.sum():
        row = int(np.argmax(frame != expected))
        raise InputError(
            f"{source.root}: frames of episode {episode[row]} are missing or out of order. {source.remedy}"
        )
    entry = "validation_episodes" if held_out else "episodes"
    wanted = mapping.validation_episodes if held_out else mapping.episodes
    if wanted is None and held_out:
        raise mapping.error("it names no episodes to watch. Add `episodes` and `validation_episodes`.")
    if wanted is None:
        keep = np.ones(len(episode), dtype=bool)
    else:
        absent = set(wanted) - set(episode.tolist())
        if absent:
            raise mapping.error(
                f"{entry} {wanted.start}:{wanted.stop} asks for episode {min(absent)}; {source.root} has "
                f"{starts.sum()} episodes, {episode.min()} to {episode.max()}.",
            )
        keep = np.isin(episode, list(wanted))
    rows = np.flatnonzero(keep & (frame % mapping.stride == 0))
    return rows, episode[rows], frame[rows] // mapping.stride


def _instructions(mapping: Mapping, source: Source, rows: Int64[np.ndarray, " n"]) -> list[str]:
    kind, text = mapping.instruction
    if kind == "sentence":
        return [text] * len(rows)
    sentences = source.sentences() if kind == "tasks" else source.strings(text)
    kept = [sentences[row].strip() for row in rows.tolist()]
    if not all(kept):
        raise mapping.error(
            f"frame {rows[kept.index('')]} of {source.root} has no instruction. Give all the same one with "
            "`instruction: {sentence: pick up the cube}`.",
        )
    return kept


def _images(
    mapping: Mapping,
    source: Source,
    rows: Int64[np.ndarray, " n"],
    episode_index: Int64[np.ndarray, " n"],
    seconds: Float64[np.ndarray, " n"],
) -> tuple[UInt8[np.ndarray, "n V S S 3"], Bool[np.ndarray, "n V"]]:
    """Decoded views, black where an episode lacks one, and which there are."""
    shape = (len(rows), len(mapping.cameras), mapping.image_size, mapping.image_size, 3)
    needed, free = int(np.prod(shape)), available_memory()
    if free is not None and needed > 0.9 * free:
        raise mapping.error(
            f"{len(rows)} frames of {shape[1]} views of {shape[2]} x {shape[2]} pixels take {needed / 2**30:.1f} GiB "
            f"of memory, {free / 2**30:.1f} GiB are free. Make image_size smaller, or choose fewer with `episodes` or "
            "`stride`.",
        )
    images, views = np.zeros(shape, np.uint8), np.zeros(shape[:2], dtype=bool)
    with ReadProgress(f"reading {source.root.name}", len(rows) * len(mapping.cameras)) as progress:
        for view, (name, column) in enumerate(mapping.cameras.items()):
            if source.features[column]["dtype"] == "image":
                views[:, view] = read_images(source, column, rows, images[:, view], progress.advance)
            else:
                views[:, view] = read_video(source, column, episode_index, seconds, images[:, view], progress.advance)
            if not views[:, view].any():
                raise mapping.error(f"camera {name!r}: no episode has images in column {column!r}. Leave it out.")
    return images, views
