"""Policies as one word of a command: NAME, NAME:NFE, NAME=CHECKPOINT or NAME:NFE=CHECKPOINT."""

import re
from typing import NamedTuple

from policies.registry import policy_target


class NamedPolicy(NamedTuple):
    """What the word says.

    Attributes:
        name: For the registry.
        nfe: Forward passes of a sample; None for the policy's own number.
        checkpoint: Weights; None for the policy's own choice.
    """

    name: str
    nfe: int | None = None
    checkpoint: str | None = None

    @property
    def label(self) -> str:
        """Name in tables and paths: "flow", or "flow-1" with another number of passes."""
        return self.name if self.nfe is None else f"{self.name}-{self.nfe}"


def read_policy(word: str) -> NamedPolicy:
    """Takes a word apart, such as "drifting", "flow:1", "flow=weights.safetensors" or "my_pkg.mine:Mine".

    Raises:
        InputError: The name is neither known nor a module:Class.
    """
    policy, _, checkpoint = word.partition("=")
    match = re.fullmatch(r"(.+):(\d+)", policy)
    named = NamedPolicy(match[1] if match else policy, int(match[2]) if match else None, checkpoint or None)
    policy_target(named.name)
    return named
