"""What Qwen3-VL reads: views as flattened patches, and one sequence of text and visual tokens an observation.

Shapes: B observations, V views, W instruction tokens, N views in all, S height and width of a view as given, L
tokens of a sequence.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from einops import repeat
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from model.qwen.tokens import Prompt
from model.text import PADDING


def patches(
    images: UInt8[Tensor, "N S S 3"], size: int, patch: int = 16, merge: int = 2, frames: int = 2
) -> Float32[Tensor, "p values"]:
    """Resizes RGB views (bicubic) and cuts them into the vision tower's patches.

    Args:
        images: RGB.
        size: Height and width to resize to, pixels.
        patch: Side of a patch, pixels.
        merge: Patches that one visual token takes in, a side; they lie side by side in the result.
        frames: Frames of a patch in time; a still picture is repeated.

    Returns:
        N (size / patch)^2 patches, view by view, each of 3 * frames * patch^2 values between -1 and 1.
    """
    pixels = images.permute(0, 3, 1, 2).float()
    if pixels.shape[-2:] != (size, size):
        pixels = F.interpolate(pixels, (size, size), mode="bicubic", antialias=True, align_corners=False)
        pixels = pixels.round_().clamp_(0, 255)  # the model was trained on pictures of 8 bits
    pixels = pixels / 127.5 - 1
    return repeat(
        pixels,
        "n c (row mr pr) (col mc pc) -> (n row col mr mc) (c t pr pc)",
        mr=merge,
        mc=merge,
        pr=patch,
        pc=patch,
        t=frames,
    )


class Sequence(NamedTuple):
    """Input of the language model, padded on the right.

    Attributes:
        ids: Token numbers; the prompt's `view` where a visual token goes.
        mask: False on padding.
        visual: True where a visual token goes.
        positions: Time, row and column for the rotary embedding. Text counts up in all three; a view is a grid.
    """

    ids: Int64[Tensor, "B L"]
    mask: Bool[Tensor, "B L"]
    visual: Bool[Tensor, "B L"]
    positions: Int64[Tensor, "3 B L"]


class _Layout(NamedTuple):
    """A sequence with all views and words, W zeros in the words' place: numbers, visual or not, step, grid offset."""

    ids: Int64[Tensor, " L"]
    visual: Bool[Tensor, " L"]
    step: Int64[Tensor, " L"]
    offset: Int64[Tensor, "3 L"]


@lru_cache(maxsize=16)
def _layout(prompt: Prompt, views: int, words: int, side: int, device: torch.device) -> _Layout:
    cells = side * side
    rows = [(number, False, 1, 0, 0) for number in prompt.prefix]
    for _ in range(views):
        rows.append((prompt.view_start, False, 1, 0, 0))
        # What follows a view counts on from its largest coordinate: its last cell makes the step.
        rows += [(prompt.view, True, side * (cell == cells - 1), *divmod(cell, side)) for cell in range(cells)]
        rows.append((prompt.view_end, False, 1, 0, 0))
    rows += [(0, False, 1, 0, 0)] * words
    rows += [(number, False, 1, 0, 0) for number in prompt.suffix]
    with torch.inference_mode(False):  # kept for training too
        ids, visual, step, row, column = torch.tensor(rows, device=device).T.contiguous()
        return _Layout(ids, visual.bool(), step, torch.stack([torch.zeros_like(row), row, column]))


def sequence(
    prompt: Prompt, words: Int64[Tensor, "B W"], views: Bool[Tensor, "B V"] | None, count: int, side: int
) -> Sequence:
    """Lays out prompt, views and instruction.

    A view or word that is not there takes no token: what follows it moves up. The length depends on the number of
    views and on W alone, not on the sentences, so encodings of different batches can be put together.

    Args:
        prompt: The chat around views and instruction.
        words: `QwenTokens.encode`.
        views: True where a view is real; None where all are.
        count: V.
        side: Visual tokens of a view, a side.
    """
    B, W = words.shape
    layout = _layout(prompt, count, W, side, words.device)
    block = side * side + 2
    first, last = len(prompt.prefix), len(prompt.prefix) + count * block  # of the views; the words come after them
    keep = torch.ones(B, len(layout.ids), dtype=torch.bool, device=words.device)
    if views is not None:
        keep[:, first:last] = views.repeat_interleave(block, dim=1)
        count = int(views.sum(1).max())
    keep[:, last : last + W] = words != PADDING
    ids = layout.ids.repeat(B, 1)
    ids[:, last : last + W] = words - 1

    step = layout.step * keep
    positions = step.cumsum(1) - step + layout.offset[:, None]
    # A stable sort moves what is kept to the left.
    order = keep.int().argsort(dim=1, descending=True, stable=True)[:, : first + count * block + W + len(prompt.suffix)]
    mask = keep.gather(1, order)
    return Sequence(
        ids.gather(1, order).where(mask, prompt.suffix[-1]),
        mask,
        layout.visual[order] & mask,
        positions.gather(2, order.expand(3, -1, -1)) * mask,
    )
