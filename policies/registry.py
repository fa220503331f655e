"""Finds policies by name: built-in, from an installed package, or as "module:Class". Imports one only when asked."""

import inspect
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from envs.spec import InputError
from envs.suite import nearest
from policies.base import Policy

ENTRY_POINT_GROUP = "drifting_vla.policies"
BUILT_IN = {
    "zero": "policies.zero:ZeroPolicy",
    "random": "policies.random:RandomPolicy",
    "expert": "policies.expert:ExpertPolicy",
    "nearest": "policies.nearest:NearestPolicy",
    "chase": "policies.expert:ChasePolicy",
    "replay": "policies.replay:ReplayPolicy",
    "drifting": "policies.drifting:DriftingPolicy",
    "diffusion": "policies.diffusion:DiffusionPolicy",
    "flow": "policies.flow:FlowPolicy",
    "mse": "policies.mse:MeanSquaredErrorPolicy",
    "cimle": "policies.cimle:CimlePolicy",
    "hybrid_queue": "policies.hybrid_queue:HybridQueuePolicy",
}


def known_policies() -> dict[str, str]:
    """Name -> "module:Class" of the built-in policies and of those that installed packages offer."""
    offered = {entry.name: entry.value for entry in entry_points(group=ENTRY_POINT_GROUP)}
    return offered | BUILT_IN


def policy_target(name: str) -> str:
    """The "module:Class" that a name stands for. Imports nothing.

    Raises:
        InputError: Neither a known name nor of the form "module:Class".
    """
    if name.startswith(("ws://", "wss://")):
        raise InputError(f"remote policies ({name}) are not available yet: give a policy's name or module:Class.")
    known = known_policies()
    target = known.get(name, name)
    module_name, separator, attribute = target.partition(":")
    if not (separator and module_name and attribute):
        raise InputError(
            f"unknown policy {name!r}.{nearest(name, known)} Known: {', '.join(sorted(known))}; "
            "or give your own as module:Class."
        )
    return target


def find_policy(name: str) -> Callable[..., Any]:
    """The class (or function) that builds a policy.

    Args:
        name: A known name, or "module:Class".

    Raises:
        InputError: No such policy, or a package that it needs is not installed.
    """
    known = known_policies()
    module_name, _, attribute = policy_target(name).partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise InputError(
                f"policy {name!r}: there is no module {error.name!r}.{nearest(name, known)} "
                "Check the spelling, or run from the folder that holds it."
            ) from None
        raise InputError(f"policy {name!r} needs the package {error.name!r}: {_remedy(error.name)}.") from None
    factory: Callable[..., Any] | None = getattr(module, attribute, None)
    if not callable(factory):
        raise InputError(
            f"policy {name!r}: module {module_name!r} has no class {attribute!r}."
            f"{nearest(attribute, vars(module))} Check the spelling."
        )
    return factory


def takes(factory: Callable[..., Any], parameter: str) -> bool:
    """Whether a policy's constructor has a parameter of this name."""
    return parameter in inspect.signature(factory).parameters


def make_policy(
    name: str,
    checkpoint: str | None = None,
    device: str = "cpu",
    nfe: int | None = None,
    suite: str | None = None,
) -> Policy:
    """Builds a policy.

    Args:
        name: A known name, or "module:Class".
        checkpoint: Weights; handed to constructors that have a parameter `checkpoint`.
        device: "cpu", "cuda", ...; handed to constructors that have a parameter `device`.
        nfe: Forward passes of a sample; handed to constructors that have a parameter `nfe`. None for its own choice.
        suite: Name of the suite that is played; handed to constructors that have a parameter `suite`, such as those
            of the trained policies, which have default weights for some suites.

    Raises:
        InputError: No such policy, it takes no checkpoint or number of passes but one is given, or what is named is
            not a policy.
    """
    factory = find_policy(name)
    arguments: dict[str, Any] = {}
    if takes(factory, "checkpoint"):
        arguments["checkpoint"] = checkpoint
    elif checkpoint is not None:
        raise InputError(f"policy {name!r} takes no checkpoint: leave --checkpoint out.")
    if takes(factory, "device"):
        arguments["device"] = device
    if suite is not None and takes(factory, "suite"):
        arguments["suite"] = suite
    if nfe is not None:
        if not takes(factory, "nfe"):
            raise InputError(f"policy {name!r} has no number of forward passes to choose: leave --nfe out.")
        arguments["nfe"] = nfe
    policy = factory(**arguments)
    if not isinstance(policy, Policy):
        raise InputError(f"{name!r} is not a policy: it must be a subclass of policies.base.Policy.")
    return policy


def _remedy(package: str | None) -> str:
    extras = {"torch": "torch", "safetensors": "torch", "einops": "torch", "mujoco": "sim-mujoco"}
    extra = extras.get((package or "").split(".")[0])
    return f"pip install -e '.[{extra}]'" if extra else "install it"
