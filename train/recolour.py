"""Random exchanges of the red, green and blue channel of all views, and of the colour words of the instruction with it.

A hundred demonstrations of "close the maroon jar" show each colour a handful of times: an encoder learns the scenes by
heart sooner than it learns what the words mean. Exchanging channels makes a red jar a green one, or a blue one, and the
sentence is changed alike. It is done only where the sentence names a colour and every colour it names has a name
afterwards too: without one, colours tell objects apart (soup from mustard), and exchanging them would teach wrong.
"""

from itertools import permutations

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from envs.rlbench.palette import PALETTE
from model.text import UNKNOWN, Vocabulary
from train.data import Batch

ORDERS: tuple[tuple[int, ...], ...] = tuple(permutations(range(3)))


class Recolouring:
    """Exchanges channels and words of batches.

    Args:
        vocabulary: Of the training set.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        number = {word: index + 2 for index, word in enumerate(vocabulary.words)}
        name_of = {colour: name for name, colour in PALETTE.items()}
        named = torch.zeros(len(vocabulary), dtype=torch.bool)
        becomes = torch.arange(len(vocabulary)).repeat(len(ORDERS), 1)
        for name, colour in PALETTE.items():
            if name not in number:
                continue
            named[number[name]] = True
            for row, order in enumerate(ORDERS):
                other = name_of.get((colour[order[0]], colour[order[1]], colour[order[2]]), "")
                becomes[row, number[name]] = number.get(other, UNKNOWN)
        self._named: Bool[Tensor, " words"] = named
        self._becomes: Int64[Tensor, "orders words"] = becomes

    def __call__(self, batch: Batch, share: float, rng: torch.Generator) -> Batch:
        """Recolours some observations of a batch.

        Args:
            batch: The batch.
            share: Of the observations that may be, on average.
            rng: Decides.
        """
        seen = batch.observations
        words = seen.words.cpu()
        order = torch.randint(1, len(ORDERS), (len(words),), generator=rng)
        wanted = torch.rand(len(words), generator=rng) < share
        changed = self._becomes[order[:, None], words]
        # A sentence of padding and unknown words alone names nothing.
        fits = self._named[words].any(1) & ~((changed == UNKNOWN) & (words > UNKNOWN)).any(1)
        order = torch.where(wanted & fits, order, 0)
        images = seen.images.clone()
        for row, channels in enumerate(ORDERS):
            mine = (order == row).nonzero()[:, 0].to(images.device)
            if row and len(mine):
                images[mine] = images[mine][..., list(channels)]
        words = self._becomes[order[:, None], words].to(seen.words.device)
        return batch._replace(observations=seen._replace(images=images, words=words))
