"""The policy network: encoder and trunk, and the sizes that define it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor, nn

from model.encoder import Encoder, EncoderConfig
from model.observation import EncoderOutput, ObservationBatch
from model.qwen.config import QwenConfig
from model.state_encoder import StateEncoder
from model.trunk import Context, Trunk, TrunkConfig

if TYPE_CHECKING:
    from model.qwen.encoder import QwenEncoder


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of encoder and trunk. A `QwenConfig` makes the encoder the pretrained Qwen3-VL that it names."""

    encoder: EncoderConfig | QwenConfig
    trunk: TrunkConfig


class Network(nn.Module):
    """Encoder and trunk. Objectives see the trunk and the encoded context alone.

    Args:
        config: Their sizes.
        encoder: A ready encoder of these sizes; made, or loaded, when left out.

    Raises:
        InputError: The encoder's pretrained weights are not to be had.
    """

    def __init__(self, config: NetworkConfig, encoder: "Encoder | StateEncoder | QwenEncoder | None" = None) -> None:
        super().__init__()
        self.config = config
        self.encoder: Encoder | StateEncoder | QwenEncoder = (
            make_encoder(config.encoder) if encoder is None else encoder
        )
        self.trunk = Trunk(config.trunk)

    def encode(self, batch: ObservationBatch, embodiment: Int[Tensor, " B"]) -> Context:
        """Encodes observations once, for any number of samples and steps.

        Args:
            batch: The observations.
            embodiment: `Embodiment.id` of each.
        """
        return self.encode_and_anchor(batch, embodiment)[0]

    def encode_and_anchor(
        self, batch: ObservationBatch, embodiment: Int[Tensor, " B"]
    ) -> tuple[Context, EncoderOutput]:
        """Like `encode`, with the encoder's output beside the context: it holds the anchor.

        Args:
            batch: The observations.
            embodiment: `Embodiment.id` of each.
        """
        output = self.encoder(batch)
        return self.trunk.prepare(output.tokens, output.mask, embodiment), output


def make_encoder(config: EncoderConfig | QwenConfig) -> "Encoder | StateEncoder | QwenEncoder":
    """An encoder: the small one with random weights (of views, or of the state alone), or pretrained Qwen3-VL.

    Raises:
        InputError: The pretrained weights are not to be had.
    """
    if isinstance(config, EncoderConfig):
        return Encoder(config) if config.views else StateEncoder(config)
    from model.qwen.encoder import QwenEncoder

    return QwenEncoder.load(config)


def parameter_count(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def fresh_network(config: NetworkConfig, seed: int) -> Network:
    """A network whose initial weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(config)
