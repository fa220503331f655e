"""Finds a dataset by folder or by its name on the Hugging Face hub."""

import os
import re
from importlib import import_module
from pathlib import Path

from envs.spec import InputError
from train.lerobot.source import INFO_PATH

_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def download_command(name: str) -> str:
    """The shell command that fetches a dataset of the hub."""
    return f"hf download {name} --repo-type dataset --local-dir data/{name.split('/')[-1]}"


def locate(name: Path | str) -> Path:
    """The folder of a dataset: the one given, a cached copy, or a fresh download.

    Args:
        name: Folder, or hub name `user/dataset`.

    Raises:
        InputError: It is neither, or it cannot be downloaded.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if not _NAME.fullmatch(str(name)) or str(name).startswith((".", "~")):
        raise InputError(
            f"there is no folder {name}. Give the folder of a LeRobot dataset, or a hub name user/dataset."
        )
    return _cached(str(name)) or _download(str(name))


def _cached(name: str) -> Path | None:
    """Where LeRobot records to, then the snapshots that LeRobot and huggingface_hub keep."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    lerobot = Path(os.environ.get("HF_LEROBOT_HOME", home / "lerobot")).expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    candidates = [lerobot / name]
    for cache in (lerobot / "hub", hub):
        entry = cache / ("datasets--" + name.replace("/", "--"))
        main = entry / "refs/main"
        if main.is_file():
            candidates.append(entry / "snapshots" / main.read_text().strip())
        candidates += sorted((entry / "snapshots").glob("*"))
    # Tools that only look at a dataset leave snapshots without data.
    whole = (path for path in candidates if (path / INFO_PATH).is_file() and any(path.glob("data/*/*.parquet")))
    return next(whole, None)


def _download(name: str) -> Path:
    remedy = (
        f"Fetch it where there is a network, with `{download_command(name)}` (pip install huggingface_hub), and give "
        "that folder."
    )
    try:
        hub = import_module("huggingface_hub")
    except ImportError as error:
        raise InputError(
            f"there is no folder {name}, no copy of it in the Hugging Face caches, and huggingface_hub is not "
            f"installed to download it. {remedy}"
        ) from error
    try:
        return Path(hub.snapshot_download(name, repo_type="dataset"))
    except Exception as error:  # its errors come from several HTTP libraries and share no base class
        lines = str(error).strip().splitlines() or [""]
        raise InputError(
            f"there is no folder {name}, and {name!r} could not be downloaded from the hub ({type(error).__name__}: "
            f"{lines[0]}). {remedy}"
        ) from error
