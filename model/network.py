"""The policy network: encoder and trunk, and the sizes that define it."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from model.encoder import Encoder, EncoderConfig, EncoderOutput, ObservationBatch
from model.trunk import Context, Trunk, TrunkConfig


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of encoder and trunk."""

    encoder: EncoderConfig
    trunk: TrunkConfig


class Network(nn.Module):
    """Encoder and trunk. Objectives see the trunk and the encoded context alone."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.trunk = Trunk(config.trunk)

    def encode(self, batch: ObservationBatch, embodiment: Int[Tensor, " B"]) -> Context:
        """Encodes observations once, for any number of samples and steps.

        Args:
            batch: The observations.
            embodiment: `Embodiment.id` of each.
        """
        return self.encode_and_point(batch, embodiment)[0]

    def encode_and_point(
        self, batch: ObservationBatch, embodiment: Int[Tensor, " B"], rng: torch.Generator | None = None
    ) -> tuple[Context, EncoderOutput]:
        """Like `encode`, with the encoder's output beside the context: it holds pointer and anchor.

        Args:
            batch: The observations.
            embodiment: `Embodiment.id` of each.
            rng: In training, source of the anchor's random moves.
        """
        output = self.encoder(batch, rng)
        return self.trunk.prepare(output.tokens, output.mask, embodiment), output


def parameter_count(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def fresh_network(config: NetworkConfig, seed: int) -> Network:
    """A network whose initial weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(config)
