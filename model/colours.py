"""How near the colours of the views are to those that the instruction asks for."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

SHARPNESS = (1.0, 4.0, 16.0)  # how exactly a named colour must be met
_NONE = -2.0  # stands for the nearness where no colour is named


class SoughtColours(nn.Module):
    """How near the colour of every patch is to each of some colours that the condition asks for.

    "The maroon jar" asks for a colour. What a network must otherwise learn as a match of its features with a word is
    here three numbers a word, which a few demonstrations of each colour teach.
    """

    def __init__(self, condition: int, count: int) -> None:
        super().__init__()
        self.ask = nn.Linear(condition, 4 * count)

    def forward(
        self, patches: Float[Tensor, "n cells 48"], condition: Float[Tensor, "n E"]
    ) -> Float[Tensor, "n cells colours"]:
        """0 where a patch's mean colour is the one sought, falling with the logarithm of the distance.

        Args:
            patches: RGB of 4 x 4 pixels, in -2 .. 2.
            condition: Asks for colours, and how exactly they must be met.
        """
        with torch.autocast(patches.device.type, enabled=False):
            mean = patches.float().unflatten(-1, (16, 3)).mean(-2)
            ask = self.ask(condition.float()).unflatten(-1, (-1, 4))
            colour, sharpness = 2 * ask[..., :3], F.softplus(ask[..., 3])
            dot = mean @ colour.mT
            squares = mean.square().sum(-1)[..., None] + colour.square().sum(-1)[:, None]
            # A logarithm: from afar a bounded match, such as an exponential, would teach nothing.
            return -torch.log1p(sharpness[:, None] * (squares - 2 * dot).clamp(min=0))


class NamedColours(nn.Module):
    """How near the colour of every patch is to the colour that the instruction names.

    What the word maroon means need not be learned from the few scenes with a maroon jar: a lexicon tells it. Of several
    colours that are named, attention to the words says which one it is now.

    Args:
        width: Size of the words' tokens.
        vocabulary: Number of word numbers.

    Attributes:
        lexicon: Of each word number the colour that it names, RGB in -1 .. 1, and 1; zeros of a word that names none.
    """

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.register_buffer("lexicon", torch.zeros(vocabulary, 4))
        self.lexicon: Tensor

    def forward(
        self,
        patches: Float[Tensor, "n cells 48"],
        text: Float[Tensor, "B L E"],
        text_mask: Bool[Tensor, "B L"],
        words: Int64[Tensor, "B W"],
    ) -> Float[Tensor, "n cells sharpness"]:
        """0 where a patch's mean colour is the named one, falling with the logarithm of the distance.

        Args:
            patches: RGB of 4 x 4 pixels, in -2 .. 2; n is a multiple of B.
            text: Proprioception's token, then the words'.
            text_mask: False on padding words.
            words: Their numbers, W = L - 1.
        """
        with torch.autocast(patches.device.type, enabled=False):
            text, named = text.float(), self.lexicon[words]
            heard = (self.query(text[:, :1]) @ self.key(text[:, 1:]).mT)[:, 0] * text.shape[-1] ** -0.5
            allowed = (named[..., 3] > 0) & text_mask[:, 1:]
            which = heard.masked_fill(~allowed, -1e4).softmax(-1) * allowed
            mean = patches.float().unflatten(-1, (16, 3)).mean(-2).unflatten(0, (len(words), -1)) / 2
            dot = torch.einsum("bvcr,bwr->bvcw", mean, named[..., :3])
            squares = mean.square().sum(-1)[..., None] + named[..., :3].square().sum(-1)[:, None, None]
            apart = (squares - 2 * dot).clamp(min=0)
            near = [torch.einsum("bw,bvcw->bvc", which, -torch.log1p(sharp * apart)) for sharp in SHARPNESS]
            unnamed = (1 - which.sum(-1))[:, None, None, None]
            return (torch.stack(near, dim=-1) + _NONE * unnamed).flatten(0, 1)
