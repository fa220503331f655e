"""What an encoder is pre-trained with beside its places: a small head that guesses the action from the tokens.

The objectives that are compared share one encoder, so none of them may have shaped it. This head is a mixture of K
guesses with a share each, trained by maximum likelihood: neither a mean (which would hide that an observation has
several answers) nor any of the objectives. It is thrown away after the pre-training.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

_QUERIES = 8  # places of its attention
SIGMA = 0.2  # internal units: 2 mm of position, about 10 degrees of rotation


class ActionProbe(nn.Module):
    """Guesses of the first action of a chunk, as internal vectors in the anchor's frame.

    Args:
        width: Size of the encoder's tokens.
        active: Slots that count.
        guesses: K.
    """

    def __init__(self, width: int, active: Bool[Tensor, "128"], guesses: int = 4) -> None:
        super().__init__()
        self.guesses = guesses
        self.slots: Tensor
        self.register_buffer("slots", active.nonzero()[:, 0], persistent=False)
        self.query = nn.Parameter(torch.randn(_QUERIES, width))
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(
            nn.Linear(_QUERIES * width, 2 * width),
            nn.SiLU(),
            nn.Linear(2 * width, guesses * (len(self.slots) + 1)),
        )

    def forward(
        self, tokens: Float[Tensor, "B L E"], mask: Bool[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B K D"], Float[Tensor, "B K"]]:
        """The guesses on the active slots, and the logarithm of their shares."""
        with torch.autocast(tokens.device.type, enabled=False):
            x = self.norm(tokens.float())
            heat = self.query @ x.mT * x.shape[-1] ** -0.5
            read = heat.masked_fill(~mask[:, None], -torch.inf).softmax(-1) @ x
            out = self.layers(read.flatten(1)).unflatten(-1, (self.guesses, -1))
        return out[..., 1:], out[..., 0].log_softmax(-1)

    def loss(
        self, tokens: Float[Tensor, "B L E"], mask: Bool[Tensor, "B L"], target: Float[Tensor, "B 128"]
    ) -> Float[Tensor, ""]:
        """Negative logarithm of the target's likelihood: Laplace distributions around the guesses.

        Laplace, not Gauss: an observation whose place was missed by far must not outweigh all others.
        """
        guesses, shares = self(tokens, mask)
        distance = (guesses - target[:, None, self.slots]).abs().sum(-1) / SIGMA
        return -(shares - distance).logsumexp(-1).mean()

    def best(self, tokens: Float[Tensor, "B L E"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B 128"]:
        """The guess with the largest share; zero in inactive slots."""
        guesses, shares = self(tokens, mask)
        chosen = guesses[torch.arange(len(guesses), device=guesses.device), shares.argmax(-1)]
        full = chosen.new_zeros((len(chosen), 128))
        full[:, self.slots] = chosen
        return full
