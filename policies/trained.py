"""Policies that run a checkpoint."""

from pathlib import Path
from typing import ClassVar

from envs.spec import InputError
from model.checkpoint import load_checkpoint
from policies.network_policy import NetworkPolicy
from policies.shipped import DEFAULT_SUITE, shipped_checkpoint, shipped_suites


class TrainedPolicy(NetworkPolicy):
    """A network from a checkpoint.

    Args:
        checkpoint: Path of the weights; those that ship for the suite when left out.
        device: Torch device.
        nfe: Forward passes of a sample; the objective's own number when left out.
        suite: Name of the suite that is played.

    Raises:
        InputError: The checkpoint is missing or does not fit, the device does not exist, or the objective cannot sample
            in that many passes.
    """

    objective: ClassVar[str]

    def __init__(
        self,
        checkpoint: str | None = None,
        device: str = "cpu",
        nfe: int | None = None,
        suite: str = DEFAULT_SUITE,
    ) -> None:
        path = Path(checkpoint) if checkpoint else shipped_checkpoint(suite, self.objective)
        if not path.is_file():
            missing = f"there is no checkpoint {path}." if checkpoint else _none_ships(suite, self.objective)
            raise InputError(
                f"{missing} Train one with `python -m train.run --suite {suite} --objective {self.objective}`, then "
                "give its checkpoint.safetensors as --checkpoint."
            )
        loaded = load_checkpoint(path, self.objective)
        super().__init__(loaded.facts, loaded.network, device, nfe, loaded.sha256)


def _none_ships(suite: str, objective: str) -> str:
    others = shipped_suites(objective)
    known = f" (for {' and '.join(others)} they do)" if others else ""
    return f"no weights of {objective} for suite {suite} ship with the repository{known}."
