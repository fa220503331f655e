"""Weights that ship with the repository: `checkpoints/SUITE_OBJECTIVE.safetensors`."""

from pathlib import Path

CHECKPOINTS = Path(__file__).parent / "checkpoints"
DEFAULT_SUITE = "rlbench18"


def shipped_checkpoint(suite: str, objective: str) -> Path:
    """Where the weights for a suite are, if they ship."""
    return CHECKPOINTS / f"{suite}_{objective}.safetensors"


def shipped_suites(objective: str) -> list[str]:
    """The suites that weights of an objective ship for."""
    ending = f"_{objective}.safetensors"
    return sorted(path.name.removesuffix(ending) for path in CHECKPOINTS.glob("*" + ending))
