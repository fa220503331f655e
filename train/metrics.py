"""The log of a training run: `metrics.jsonl`, and the same numbers as TensorBoard events."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class MetricsLog:
    """Numbers of a run by step. Use as a context manager.

    The folder gets `metrics.jsonl`, one line an entry, and `tensorboard` with event files. Entries of steps after the
    one that the run goes on from are dropped, in both: their state was lost, and they come again.

    Args:
        folder: Of the run; it exists.
        step: Step that the run goes on from; 0 for a new one.
        writes: False for a process that logs nothing: of several that train together all but one.
    """

    def __init__(self, folder: Path, step: int, writes: bool = True) -> None:
        self._path, self._writes = folder / "metrics.jsonl", writes
        self._events: Any = None
        self._before: set[tuple[int, str]] = set()
        if writes:
            self._before = _forget_after(self._path, step)
            self._events = _event_writer(folder / "tensorboard", step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events is not None:
            self._events.close()

    def has(self, step: int, kind: str) -> bool:
        """Whether an earlier part of the run left an entry of this step and kind."""
        return (step, kind) in self._before

    def add(self, step: int, kind: str, values: Mapping[str, float | str]) -> None:
        """Writes an entry.

        Args:
            step: Steps done.
            kind: What it tells: "train", "validation", "rollout", "rollout_error".
            values: Numbers or text by name. TensorBoard shows them as kind/name.
        """
        if not self._writes:
            return
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, "kind": kind} | dict(values)) + "\n")
        if self._events is None:
            return
        for name, value in values.items():
            add = self._events.add_text if isinstance(value, str) else self._events.add_scalar
            add(f"{kind}/{name}", value, step)
        self._events.flush()


def _event_writer(folder: Path, step: int) -> Any:
    """TensorBoard's writer; None without the package. It hides the events of later steps that are there already."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        print(
            f"no TensorBoard events, only metrics.jsonl ({error}). To have both: pip install -e '.[torch]'",
            flush=True,
        )
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


def _forget_after(path: Path, step: int) -> set[tuple[int, str]]:
    """Drops later entries, and a last line that was not written to its end. Returns step and kind of those kept."""
    if not path.is_file():
        return set()
    lines = path.read_text().splitlines(keepends=True)
    entries = [(json.loads(line), line) for line in lines if line.endswith("}\n")]
    kept = [(entry, line) for entry, line in entries if entry["step"] <= step]
    if len(kept) < len(lines):
        partial = path.with_name(path.name + ".partial")
        partial.write_text("".join(line for _, line in kept))
        os.replace(partial, path)
    return {(entry["step"], entry["kind"]) for entry, _ in kept}
