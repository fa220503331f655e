"""NumPy's global generator, which RLBench draws from, kept apart from the caller's."""

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from envs.spec import Episode


class OwnGenerator:
    """The state that NumPy's global generator has while RLBench runs."""

    def __init__(self) -> None:
        self._state: Any = None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Within, the global generator is RLBench's, as it was left last; afterwards it is the caller's again."""
        outside = np.random.get_state()
        if self._state is not None:
            np.random.set_state(self._state)
        try:
            yield
        finally:
            self._state = np.random.get_state()
            np.random.set_state(outside)


def seed_global(episode: Episode) -> None:
    """Seeds the global generator with a function of the episode."""
    key = f"{episode.task}/{episode.variation}/{episode.seed}"
    np.random.seed(int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "little"))
