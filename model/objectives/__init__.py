"""Training objectives by name. Adding one means one file and one line here."""

import difflib
from importlib import import_module
from typing import Any

from envs.spec import InputError
from model.objectives.base import Losses, Objective

REGISTRY: dict[str, str] = {
    "drifting": "model.objectives.drifting:Drifting",
    "diffusion": "model.objectives.diffusion:Diffusion",
    "flow": "model.objectives.flow:Flow",
    "mse": "model.objectives.mse:MeanSquaredError",
    "cimle": "model.objectives.cimle:NearestOfG",
    "hybrid_queue": "model.objectives.hybrid_queue:HybridQueue",
}


def load_objective(name: str, **options: Any) -> Objective:
    """Builds an objective by name; its module is imported only now.

    Raises:
        InputError: Unknown name.
    """
    if name not in REGISTRY:
        near = difflib.get_close_matches(name, REGISTRY, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"unknown objective {name!r}.{hint} Choose one of: {', '.join(REGISTRY)}.")
    module, attribute = REGISTRY[name].split(":")
    objective: Objective = getattr(import_module(module), attribute)(**options)
    return objective


__all__ = ["REGISTRY", "Losses", "Objective", "load_objective"]
