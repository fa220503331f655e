"""Writes records: a line is written once, flushed and fsynced; nothing is ever rewritten."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from results.records import EpisodeRecord, Header, RecordError, parse_line


class RecordWriter:
    """Appends episodes to a record; each line is on disk when `append` returns. Use as a context manager.

    A lock keeps a second process from writing to the same file; the system drops it when this process ends.

    Args:
        path: The record; its folder is made if needed.
        header: Header of a new run; None to go on with an existing one (its torn last line is cut off).

    Raises:
        RecordError: The file exists (new run), is not a readable record (existing run), or another process writes it.
    """

    def __init__(self, path: Path, header: Header | None = None) -> None:
        self.path = path
        if header is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = path.open("r+b" if header is None else "x+b")
        except FileExistsError:
            raise RecordError(f"{path} exists already: choose another path, or resume it.") from None
        except FileNotFoundError:
            raise RecordError(f"there is no record at {path} to resume: check the path.") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise RecordError(f"{path} is being written by another process: wait for it, or stop it.") from None
        if header is not None:
            self._write({"kind": "header"} | asdict(header))
            _sync_folder(path.parent)
        else:
            self._cut_torn_line()

    def append(self, record: EpisodeRecord) -> None:
        """Writes one episode."""
        data = {"kind": "episode"} | asdict(record)
        if record.delays_s is None:
            del data["delays_s"]
        if record.repeat == 0:
            del data["repeat"]
        self._write(data)

    def note_resumed(self, circumstances: Mapping[str, Any]) -> None:
        """Notes that the run goes on: `created`, `git_sha`, `packages`, `python`, `hardware` of now."""
        self._write({"kind": "resumed"} | dict(circumstances))

    def close(self) -> None:
        """Closes the file and drops the lock. Safe to call twice."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, data: Mapping[str, Any]) -> None:
        line = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _cut_torn_line(self) -> None:
        content = self._file.read()
        lines = content.splitlines(keepends=True)
        if lines and parse_line(lines[-1]) is None:
            content = content[: -len(lines[-1])]
            self._file.truncate(len(content))
        self._file.seek(len(content))
        if content and not content.endswith(b"\n"):
            self._file.write(b"\n")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
