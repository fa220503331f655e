"""What an encoder gets beyond an earlier one, and how it starts: as the earlier one, since what is new adds nothing."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from envs.rlbench.palette import PALETTE
from envs.spec import InputError
from model.checkpoint import CheckpointFacts
from model.encoder import Encoder, EncoderConfig
from model.text import Vocabulary
from train.config import PretrainConfig


def with_more(facts: CheckpointFacts, config: PretrainConfig) -> CheckpointFacts:
    """Facts of the encoder that the settings ask for.

    Raises:
        InputError: The settings would take something away.
    """
    encoder = facts.network.encoder
    assert isinstance(encoder, EncoderConfig)
    if config.overview is not None:
        if config.overview < encoder.overview_layers:
            raise InputError(
                f"--overview {config.overview}: the encoder has {encoder.overview_layers} such layers already. "
                "Leave it out, or give a number that is not smaller."
            )
        encoder = replace(encoder, overview_layers=config.overview)
    encoder = replace(encoder, names=encoder.names or config.names)
    return replace(facts, network=replace(facts.network, encoder=encoder))


def grown(fresh: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An earlier encoder's weights for one that has more.

    Args:
        fresh: Weights of the new one before training.
        weights: Of the earlier one. Where the new one reads more numbers, it ignores them at first.
    """
    result = dict(fresh) | dict(weights)
    for name, new in fresh.items():
        if name in weights and weights[name].shape != new.shape:
            wider = torch.zeros_like(new)
            wider[..., : weights[name].shape[-1]] = weights[name]
            result[name] = wider
    return result


def teach_names(encoder: Encoder, vocabulary: Vocabulary) -> None:
    """Tells an encoder what its words for colours mean, as far as it asks."""
    for part in (encoder.named, encoder.choice):
        if part is not None:
            part.lexicon.copy_(lexicon(vocabulary))


def lexicon(vocabulary: Vocabulary) -> Float[Tensor, "words 4"]:
    """See `model.colours.NamedColours.lexicon`: the colours that the suites name."""
    known = torch.zeros(len(vocabulary), 4)
    for index, word in enumerate(vocabulary.words):
        if word in PALETTE:
            known[index + 2] = torch.tensor([*(2 * part - 1 for part in PALETTE[word]), 1.0])
    return known
