"""What lies far apart, or in different views, seen together: self-attention over the coarse maps of all views.

Convolutions reach some 40 pixels. Where the place that is sought depends on something further off, such as the spot
on a line at which a ball will arrive that is still half a table away, the map around the place must be told.

Shapes: B observations, V views, C channels of a coarse map, n its cells a side, L words and proprioception, E width.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.parts import Layer


class Overview(nn.Module):
    """Adds to every cell what attention over all cells, words and proprioception makes of it; nothing at first.

    Args:
        views: V.
        cells: n.
        channels: C.
        width: E.
        layers: Transformer layers.
    """

    def __init__(self, views: int, cells: int, channels: int, width: int, layers: int) -> None:
        super().__init__()
        self.enter = nn.Linear(channels, width)
        self.place = nn.Parameter(0.02 * torch.randn(views, cells**2, width))
        self.layers = nn.ModuleList(Layer(width) for _ in range(layers))
        self.leave = nn.Linear(width, channels)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(
        self, coarse: Float[Tensor, "B*V C n n"], text: Float[Tensor, "B L E"], text_mask: Bool[Tensor, "B L"]
    ) -> Float[Tensor, "B*V C n n"]:
        """The maps with what was added to them."""
        views, cells, _ = self.place.shape
        tokens = self.enter(coarse.flatten(2).mT).unflatten(0, (-1, views)) + self.place
        seen = torch.cat([tokens.flatten(1, 2), text.to(tokens.dtype)], dim=1)
        mask = F.pad(text_mask, (views * cells, 0), value=True)[:, None, None]
        for layer in self.layers:
            seen = layer(seen, mask)
        added = self.leave(seen[:, : views * cells]).unflatten(1, (views, cells)).flatten(0, 1)
        return coarse + added.mT.unflatten(-1, coarse.shape[2:]).to(coarse.dtype)
