"""A queue of the newest rows, for objectives that look back beyond their batch."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class RowQueue:
    """Keeps the newest `size` rows that were pushed.

    Attributes:
        size: Rows at most.
        pushed: Rows pushed so far.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.pushed = 0
        self._rows: Tensor | None = None

    def __len__(self) -> int:
        """Rows in the queue."""
        return min(self.pushed, self.size)

    def push(self, rows: Float[Tensor, "N S"]) -> None:
        """Adds rows, in float32 and without gradient; the oldest make room.

        Raises:
            ValueError: The rows are not as wide as those in the queue.
        """
        rows = rows.detach().float()
        if self._rows is None:
            self._rows = rows.new_zeros(self.size, rows.shape[1])
        if rows.shape[1] != self._rows.shape[1]:
            raise ValueError(f"the queue holds rows of {self._rows.shape[1]} numbers, got {rows.shape[1]}")
        self._rows = self._rows.to(rows.device)
        # Of more rows than fit only the last stay, each at the place it would have had.
        skipped = max(0, len(rows) - self.size)
        places = torch.arange(self.pushed + skipped, self.pushed + len(rows), device=rows.device) % self.size
        self._rows[places] = rows[skipped:]
        self.pushed += len(rows)

    def rows(self) -> Float[Tensor, "N S"]:
        """All rows in the queue, in no particular order.

        Raises:
            ValueError: It is empty.
        """
        if self._rows is None:
            raise ValueError("the queue is empty")
        return self._rows[: len(self)]

    def draw(self, count: int, rng: torch.Generator) -> Float[Tensor, "n S"]:
        """Random rows without replacement; all of them where there are fewer."""
        rows = self.rows()
        return rows[torch.randperm(len(rows), generator=rng, device=rng.device)[:count].to(rows.device)]

    def state_dict(self) -> dict[str, Any]:
        """Contents and place."""
        return {"pushed": self.pushed} | ({} if self._rows is None else {"rows": self._rows.clone()})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up a saved `state_dict`.

        Raises:
            ValueError: It is of a queue of another size.
        """
        rows = state.get("rows")
        if rows is not None and len(rows) != self.size:
            raise ValueError(f"the saved queue has {len(rows)} places, this one {self.size}")
        self.pushed, self._rows = state["pushed"], None if rows is None else rows.clone()
