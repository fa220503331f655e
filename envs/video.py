"""Videos of episodes, one mp4 each, named after the episode and its outcome."""

from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8

from envs.spec import Episode


class EpisodeVideo:
    """Writes an episode's frames as they come; the outcome, known at the end, completes the file's name.

    Args:
        folder: Where the video goes; made if needed.
        episode: What is filmed.
        fps: Frames per second.
    """

    def __init__(self, folder: Path, episode: Episode, fps: int = 20) -> None:
        self._folder, self._fps = folder, fps
        repeat = f"_r{episode.repeat}" if episode.repeat else ""
        self._stem = f"{episode.task}_v{episode.variation}_s{episode.seed}{repeat}"
        self._partial = folder / f"{self._stem}.partial.mp4"
        self._writer: Any = None

    def add(self, frame: UInt8[np.ndarray, "h w 3"]) -> None:
        """Appends a frame, RGB. All frames of a video have one size."""
        height, width = (size - size % 2 for size in frame.shape[:2])  # H.264 halves the colour planes
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writer = imageio_ffmpeg.write_frames(
                str(self._partial), (width, height), fps=self._fps, macro_block_size=1, ffmpeg_log_level="error"
            )
            self._writer.send(None)
        self._writer.send(np.ascontiguousarray(frame[:height, :width]))

    def finish(self, outcome: str) -> Path | None:
        """Closes the video and gives it its name; None when no frame was added."""
        if self._writer is None:
            return None
        self._close()
        path = self._folder / f"{self._stem}_{outcome}.mp4"
        self._partial.replace(path)
        return path

    def discard(self) -> None:
        """Removes an unfinished video. Safe to call at any time."""
        if self._writer is not None:
            self._close()
            self._partial.unlink(missing_ok=True)

    def _close(self) -> None:
        self._writer.close()
        self._writer = None
