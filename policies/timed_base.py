"""Timing policies of the `base` size. They share one backbone: it is the same for all, and gigabytes."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from envs.spec import InputError, Observation, TaskSpec
from model.network import Network
from model.objectives import load_objective
from model.observation import EncoderOutput, ObservationBatch
from model.qwen.config import CELL, DTYPES, QWEN3_VL_2B, QwenConfig
from model.qwen.encoder import QwenEncoder
from model.qwen.input import sequence
from model.qwen.tokens import QWEN_PROMPT
from policies.network_policy import NetworkPolicy
from policies.timed import Built, KeptFeatures, Lineup, Named, entries_of, network_class
from policies.untrained import base_facts

USES = ("in every call", "apart", "not run")


@dataclass(frozen=True)
class Backbone:
    """What the policies see with.

    Attributes:
        config: Its settings.
        use: One of `USES`. With "apart" calls read what `Lineup.look` last saw, with "not run" random features.
        sizes: Entries of its `transformers.Qwen3VLConfig`.
    """

    config: QwenConfig
    use: str = USES[0]
    sizes: dict[str, Any] = field(default_factory=lambda: QWEN3_VL_2B)

    @property
    def width(self) -> int:
        """Size of its tokens."""
        return int(self.sizes["text_config"]["hidden_size"])


def base_lineup(names: Sequence[Named], task: TaskSpec, obs: Observation, device: str, backbone: Backbone) -> Lineup:
    """Policies with the `base` trunk over one Qwen3-VL backbone, all with random weights.

    Args:
        names: Who.
        task: What they act in.
        obs: What they will see.
        device: Torch device.
        backbone: What they share.

    Raises:
        InputError: A policy has no network of ours, or the machine lacks what the backbone needs.
    """
    objectives = []
    for name, nfe in names:
        kind = network_class(name)
        if kind is None:
            raise InputError(f"policy {name!r} has no network of ours to build in size base. Leave it out.")
        objectives.append((load_objective(kind.objective), nfe))
    encoder = None if backbone.use == "not run" else _encoder(backbone, device)
    kept = KeptFeatures()
    seen: Any = encoder if backbone.use == "in every call" else kept
    built = []
    for objective, nfe in objectives:
        facts = base_facts(objective, task, backbone.config, backbone.width)
        built.append(Built(NetworkPolicy(facts, Network(facts.network, seen), device, nfe), "random"))
    entries = entries_of(built, task)
    first = built[0].policy
    assert isinstance(first, NetworkPolicy)
    if encoder is None:
        kept.output = _random_features(backbone, first.batch(obs))
    elif seen is kept:
        return Lineup(entries, _look(encoder, kept, first, obs), encoder)
    return Lineup(entries)


def _encoder(backbone: Backbone, device: str) -> QwenEncoder:
    try:
        return QwenEncoder.from_config(backbone.sizes, backbone.config, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"the backbone cannot be built on device {device!r} ({reason}). Try cpu.") from error


def _random_features(backbone: Backbone, batch: ObservationBatch) -> EncoderOutput:
    """Features in the shape and dtype that the backbone would give."""
    side = backbone.config.image_size // CELL
    mask = sequence(QWEN_PROMPT, batch.words, None, batch.images.shape[1], side).mask
    tokens = torch.randn(*mask.shape, backbone.width, generator=torch.Generator().manual_seed(0))
    return EncoderOutput(tokens.to(mask.device, DTYPES[backbone.config.dtype]), mask)


def _look(
    encoder: QwenEncoder, kept: KeptFeatures, policy: NetworkPolicy, obs: Observation
) -> Callable[[], Mapping[str, float]]:
    batch = policy.batch(obs)

    @torch.inference_mode()
    def look() -> dict[str, float]:
        policy.synchronize()
        began = time.perf_counter()
        kept.output = encoder(batch)
        policy.synchronize()
        return {"backbone": time.perf_counter() - began}

    return look
