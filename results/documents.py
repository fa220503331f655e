"""Records that are one JSON document: written whole or not at all, read with a check of kind and schema."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from results.records import RecordError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How a document came about.

    Attributes:
        created: UTC, ISO 8601.
        command: The command line, to run it again.
        git_sha: Commit of the checkout, with `-dirty` when it had changes; None outside a checkout.
        packages: Installed versions of the packages that matter.
        python: Python version.
        hardware: `cpu` (model), `cores`, `device` ("cpu" or a GPU's name).
        config: Full resolved configuration.
    """

    created: str
    command: str
    git_sha: str | None
    packages: dict[str, str]
    python: str
    hardware: dict[str, Any]
    config: dict[str, Any]


def write_document(path: Path, kind: str, schema: int, data: dict[str, Any]) -> None:
    """Writes a document atomically; arrays of numbers take a line each."""
    text = json.dumps({"kind": kind, "schema": schema} | data, indent=1, allow_nan=False)
    text = re.sub(r"\[[-\d.,\s]+\]", lambda match: re.sub(r"\s+", "", match.group()), text)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text + "\n")
    os.replace(partial, path)


def read_document(path: Path, kind: str, schema: int, command: str, parse: Callable[[dict[str, Any]], T]) -> T:
    """Reads a document.

    Args:
        path: The file.
        kind: What it must be.
        schema: Of which version.
        command: What writes such files, for the messages.
        parse: Makes the record of the data.

    Raises:
        RecordError: Not such a document.
    """
    try:
        data = json.loads(path.read_text())
        if (data.get("kind"), data.get("schema")) != (kind, schema):
            raise RecordError(
                f"{path} is of kind {data.get('kind')!r}, schema {data.get('schema')!r}; this program reads {kind!r}, "
                f"{schema}. Make it again with `{command}`."
            )
        return parse(data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"{path} is no record of {kind} ({error}). Give a file written by `{command}`.") from error
