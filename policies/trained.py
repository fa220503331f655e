"""Policies that run a checkpoint."""

from pathlib import Path
from typing import ClassVar

from envs.spec import InputError
from model.checkpoint import load_checkpoint
from policies.network_policy import NetworkPolicy


class TrainedPolicy(NetworkPolicy):
    """A network from a checkpoint.

    Args:
        checkpoint: Path of the weights; `default_checkpoint` when left out.
        device: Torch device.
        nfe: Forward passes of a sample; the objective's own number when left out.

    Raises:
        InputError: The checkpoint is missing or does not fit, the device does not exist, or the objective cannot sample
            in that many passes.
    """

    objective: ClassVar[str]
    default_checkpoint: ClassVar[Path]

    def __init__(self, checkpoint: str | None = None, device: str = "cpu", nfe: int | None = None) -> None:
        path = Path(checkpoint) if checkpoint else self.default_checkpoint
        if not path.is_file():
            raise InputError(
                f"there is no checkpoint {path}. Train one with `python -m train.run --suite rlbench18 --objective "
                f"{self.objective}`, then give its checkpoint.safetensors as --checkpoint."
            )
        loaded = load_checkpoint(path, self.objective)
        super().__init__(loaded.facts, loaded.network, device, nfe, loaded.sha256)
