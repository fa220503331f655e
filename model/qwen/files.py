"""Where the backbone's files are: a local folder, or the Hugging Face hub and its cache."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from envs.spec import InputError
from model.qwen.config import QwenConfig

WEIGHTS = ("*.json", "*.safetensors")
TOKENIZER = ("tokenizer.json",)


def packages() -> tuple[ModuleType, ModuleType]:
    """The packages transformers and peft, imported only when a Qwen backbone is wanted.

    Raises:
        InputError: They are not installed.
    """
    try:
        import peft
        import transformers
    except ImportError as error:
        raise InputError(
            f"the Qwen3-VL backbone needs packages that are not installed ({error}). `pip install -e .[qwen]`."
        ) from error
    return transformers, peft


def model_folder(model: str, revision: str, wanted: tuple[str, ...] = WEIGHTS) -> Path:
    """The folder with a model's files; those of a hub name are downloaded unless they are in the hub's cache.

    Args:
        model: Folder or hub name.
        revision: Branch, tag or commit on the hub.
        wanted: Patterns of the files to download.

    Raises:
        InputError: There is no such folder, or the files can neither be found in the cache nor downloaded.
    """
    folder = Path(model).expanduser()
    if model and folder.is_dir():
        return folder
    if model.startswith((".", "/", "~")) or model.count("/") != 1 or folder.exists():
        raise InputError(f"there is no model folder {model!r}. {remedy('Qwen/Qwen3-VL-2B-Instruct', 'main')}")
    packages()
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(wanted)))
    except (OSError, ValueError) as error:  # what the hub's client raises, its HTTP errors included
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{model} is not on this machine and cannot be downloaded ({reason}). {remedy(model, revision)}"
        ) from error


def remedy(model: str, revision: str) -> str:
    """How to get the files by hand."""
    return (
        f"On a machine with network: `hf download {model} --revision {revision} --local-dir FOLDER`. "
        "Then give FOLDER as the model."
    )


def read_config(folder: Path) -> dict[str, Any]:
    """The model's configuration.

    Raises:
        InputError: There is none, it is of another kind of model, or there are no weights beside it.
    """
    advice = remedy("Qwen/Qwen3-VL-2B-Instruct", "main")
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no config.json, so no model. {advice}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}). {advice}") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "qwen3_vl":
        raise InputError(f"{folder} holds a model of type {kind!r}; the backbone must be 'qwen3_vl'. {advice}")
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"{folder} holds a configuration but no weights (*.safetensors). {advice}")
    return config


def hidden_size(config: QwenConfig) -> int:
    """Size of the context tokens that a model gives.

    Raises:
        InputError: The model's files are not there and cannot be downloaded, or are of another kind.
    """
    return int(read_config(model_folder(config.model, config.revision))["text_config"]["hidden_size"])
