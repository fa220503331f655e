"""Trained policies as one file: safetensors, bfloat16 weights, everything needed to run them in its header."""

import hashlib
import json
import os
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from envs.spec import InputError
from model.actions import ACTION_SPACE_VERSION, ActionConvention
from model.encoder import EncoderConfig
from model.network import Network, NetworkConfig
from model.normalize import Normalizer
from model.qwen.config import QwenConfig
from model.qwen.tokens import QwenTokens
from model.text import Vocabulary
from model.trunk import TrunkConfig

FORMAT = "drifting_vla.checkpoint"
VERSION = 2
ENCODER = "encoder"  # what a file of a pre-trained encoder names as its objective, and the prefix of its weights


@dataclass(frozen=True)
class CheckpointFacts:
    """Everything of a trained policy but its weights.

    Attributes:
        network: Sizes of the network.
        objective: Name of the training objective.
        options: Its settings.
        vocabulary: Words it knows, or the backbone's tokens.
        normalizer: Scales of actions and proprioception.
        cameras: Views, in the network's order.
        proprioception: Name of each entry of its proprioception input.
        convention: Meaning of its actions.
        training: Step, seed, data and the like; for people.
    """

    network: NetworkConfig
    objective: str
    options: dict[str, Any]
    vocabulary: Vocabulary | QwenTokens
    normalizer: Normalizer
    cameras: tuple[str, ...]
    proprioception: tuple[str, ...]
    convention: ActionConvention
    training: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: facts, network with weights in float32, and the SHA-256 of the file."""

    facts: CheckpointFacts
    network: Network
    sha256: str


@dataclass(frozen=True)
class PretrainedEncoder:
    """A pre-trained encoder: facts, weights in float32 under the encoder's own names, and the file's SHA-256."""

    facts: CheckpointFacts
    weights: dict[str, Tensor]
    sha256: str


def save_checkpoint(path: Path, facts: CheckpointFacts, weights: dict[str, Tensor]) -> str:
    """Writes a checkpoint atomically.

    Args:
        path: The file.
        facts: Everything but the weights.
        weights: The network's `state_dict`.

    Returns:
        SHA-256 of the file.
    """
    header = {"format": FORMAT, "version": VERSION, "action_space": ACTION_SPACE_VERSION} | asdict(facts)
    header["normalizer"] = facts.normalizer.to_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    tensors = {name: tensor.detach().to("cpu", torch.bfloat16).contiguous() for name, tensor in weights.items()}
    save_file(tensors, partial, metadata={FORMAT: json.dumps(header)})
    os.replace(partial, path)
    return file_sha256(path)


def load_checkpoint(path: Path, objective: str | None = None) -> Checkpoint:
    """Reads a checkpoint.

    Args:
        path: The file.
        objective: The objective that the weights must have been trained with.

    Raises:
        InputError: No such file, not a checkpoint of ours, of another version or objective, or with other weights
            than its header promises.
    """
    facts = read_facts(path)
    if objective is not None and facts.objective != objective:
        if facts.objective == ENCODER:
            raise InputError(
                f"{path} is a pre-trained encoder, not a policy. Train one over it with `python -m train.run --encoder "
                f"{path} --objective {objective}`."
            )
        raise InputError(
            f"{path} was trained with objective {facts.objective!r}, this policy needs {objective!r}. "
            f"Give the checkpoint to policy {facts.objective!r}, or train with `--objective {objective}`."
        )
    network = Network(facts.network)
    _fill(network, _weights(path), path)
    return Checkpoint(facts, network.eval(), file_sha256(path))


def load_encoder(path: Path) -> PretrainedEncoder:
    """Reads a pre-trained encoder.

    Raises:
        InputError: No such file, or it does not hold a pre-trained encoder of this version.
    """
    facts = read_facts(path, "Pre-train an encoder with `python -m train.pretrain`.")
    if facts.objective != ENCODER:
        raise InputError(
            f"{path} is a policy trained with objective {facts.objective!r}, not a pre-trained encoder. Give a file "
            "written by `python -m train.pretrain`."
        )
    prefix = f"{ENCODER}."
    weights = {name.removeprefix(prefix): t for name, t in _weights(path).items() if name.startswith(prefix)}
    _fill(Network(facts.network).encoder, weights, path)
    return PretrainedEncoder(facts, weights, file_sha256(path))


def read_facts(path: Path, remedy: str = "Train one with `python -m train.run --suite rlbench18`.") -> CheckpointFacts:
    """Reads everything of a checkpoint but its weights.

    Args:
        path: The file.
        remedy: What to do where there is none.

    Raises:
        InputError: No such file, or not a checkpoint of ours and this version.
    """
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}. {remedy}")
    header = _header(path)
    try:
        return CheckpointFacts(
            NetworkConfig(_encoder_config(header["network"]["encoder"]), TrunkConfig(**header["network"]["trunk"])),
            header["objective"],
            header["options"],
            _vocabulary(header["vocabulary"]),
            Normalizer.from_dict(header["normalizer"]),
            tuple(header["cameras"]),
            tuple(header["proprioception"]),
            ActionConvention(**header["convention"]),
            header["training"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the header of {path} does not describe a policy ({error}). Get the file again.") from error


def _encoder_config(entries: dict[str, Any]) -> EncoderConfig | QwenConfig:
    return QwenConfig(**entries) if "model" in entries else EncoderConfig(**entries)


def _vocabulary(entries: dict[str, Any]) -> Vocabulary | QwenTokens:
    if "model" in entries:
        return QwenTokens(**entries)
    return Vocabulary(tuple(entries["words"]), entries["max_words"])


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise _unkept(path, error) from error


def _fill(module: torch.nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise _unkept(path, error) from error


def _unkept(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} does not hold the weights that its header promises ({error}). Train again, or get the file again."
    )


def _header(path: Path) -> dict[str, Any]:
    remedy = "Give a file written by `python -m train.run`."
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > path.stat().st_size:
                raise ValueError("it is cut short")
            metadata = json.loads(file.read(size)).get("__metadata__", {})
    except (ValueError, AttributeError, struct.error) as error:
        raise InputError(f"{path} is not a safetensors file ({error}). {remedy}") from error
    if FORMAT not in metadata:
        raise InputError(f"{path} holds weights of something else than this benchmark's policies. {remedy}")
    header: dict[str, Any] = json.loads(metadata[FORMAT])
    if (header.get("version"), header.get("action_space")) != (VERSION, ACTION_SPACE_VERSION):
        raise InputError(
            f"{path} has format version {header.get('version')} and action space {header.get('action_space')}; this "
            f"program reads {VERSION} and {ACTION_SPACE_VERSION}. Train again, or use the version that wrote it."
        )
    return header


def file_sha256(path: Path) -> str:
    """Hex digest of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
