"""The encoder of policies without cameras: state and instruction to tokens."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from model.encoder import EncoderConfig
from model.observation import EncoderOutput, ObservationBatch
from model.parts import Layer, fourier
from model.text import PADDING

_TOKENS = 8  # of the state
_OCTAVES = 4


class StateEncoder(nn.Module):
    """What stands in for `model.encoder.Encoder` where there are no views: all is in the proprioception.

    Args:
        config: Sizes; `views` is 0.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        E = config.width
        self.word = nn.Embedding(config.vocabulary, E, padding_idx=PADDING)
        self.word_position = nn.Parameter(0.02 * torch.randn(config.max_words, E))
        # A sine tells millimetres apart that a linear layer over scaled entries hardly does.
        entries = config.proprioception * (2 * _OCTAVES + 1)
        self.state = nn.Sequential(nn.Linear(entries, 4 * E), nn.SiLU(), nn.Linear(4 * E, _TOKENS * E))
        self.layers = nn.ModuleList(Layer(E) for _ in range(1 + config.fusion_layers))

    def forward(self, batch: ObservationBatch) -> EncoderOutput:
        """Encodes a batch. There are no places in it: chunks are generated in the world's axes."""
        words = self.word(batch.words) + self.word_position
        state = self.state(fourier(batch.proprioception, _OCTAVES)).unflatten(-1, (_TOKENS, -1))
        tokens = torch.cat([state.to(words.dtype), words], dim=1)
        mask = F.pad(batch.words != PADDING, (_TOKENS, 0), value=True)
        for layer in self.layers:
            tokens = layer(tokens, mask[:, None, None])
        return EncoderOutput(tokens, mask)

    def look(self, batch: ObservationBatch) -> EncoderOutput:
        """All of the work; see `Encoder.look`."""
        return self(batch)

    def focus(self, batch: ObservationBatch, glimpse: EncoderOutput, *_: object) -> EncoderOutput:
        """Nothing is left to be done; see `Encoder.focus`."""
        return glimpse
