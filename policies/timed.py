"""The policies of a timing run: built by name, with what the record says about them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from envs.spec import InputError, Observation, TaskSpec
from model.checkpoint import CheckpointFacts, load_checkpoint, read_facts
from model.network import fresh_network, parameter_count
from model.objectives import load_objective
from model.observation import EncoderOutput, ObservationBatch
from model.qwen.encoder import QwenEncoder
from policies.base import Policy, check_compatible
from policies.network_policy import NetworkPolicy
from policies.registry import find_policy, make_policy
from policies.shipped import shipped_checkpoint
from policies.trained import TrainedPolicy
from policies.untrained import small_facts, trained_for

# A policy's name for the registry, and its forward passes (None for its own number).
Named = tuple[str, int | None]


class Built(NamedTuple):
    """A policy, and where its weights are from: "random", "checkpoint" or "none"."""

    policy: Policy
    weights: str


class KeptFeatures(nn.Module):
    """Stands in for an encoder: gives the same output, whatever it is shown."""

    output: EncoderOutput

    def forward(self, batch: ObservationBatch) -> EncoderOutput:
        """What is kept."""
        return self.output


@dataclass(frozen=True)
class Entry:
    """A policy to time.

    Attributes:
        name: Name in tables.
        policy: The policy.
        weights: See `Built`.
    """

    name: str
    policy: Policy
    weights: str

    def call(self, obs: Observation) -> dict[str, float]:
        """Acts once.

        Returns:
            The spans in seconds. Where features are kept, what is left of "backbone" is called "context".

        Raises:
            InputError: `torch.compile` fails.
        """
        try:
            spans = self.policy.act(obs).spans
        except RuntimeError as error:
            if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise InputError(f"torch.compile fails on the trunk ({reason}). Leave --compile out.") from error
            raise
        if isinstance(self.policy, NetworkPolicy) and isinstance(self.policy.network.encoder, KeptFeatures):
            return {"context" if name == "backbone" else name: seconds for name, seconds in spans.items()}
        return spans


@dataclass(frozen=True)
class Lineup:
    """Policies to time side by side.

    Attributes:
        entries: The policies.
        look: Runs the backbone once and returns its seconds, where it is timed apart.
        apart: The backbone that is timed apart.
    """

    entries: tuple[Entry, ...]
    look: Callable[[], Mapping[str, float]] | None = None
    apart: nn.Module | None = None


def small_lineup(names: Sequence[Named], task: TaskSpec, device: str, dtype: torch.dtype = torch.float32) -> Lineup:
    """Policies as `envs.run` makes them; those of ours without a checkpoint for the suite get random weights.

    Args:
        names: Who.
        task: What they act in.
        device: Torch device.
        dtype: See `NetworkPolicy`.

    Raises:
        InputError: A policy cannot be built, or does not fit the task.
    """
    like = trained_for(task.suite)
    return Lineup(entries_of([_small(*named, task, like, device, dtype) for named in names], task))


def _small(
    name: str, nfe: int | None, task: TaskSpec, like: CheckpointFacts | None, device: str, dtype: torch.dtype
) -> Built:
    kind = network_class(name)
    if kind is None:
        return Built(make_policy(name, device=device, nfe=nfe), "none")
    path = shipped_checkpoint(task.suite, kind.objective)
    try:
        usable = read_facts(path).training.get("suite") == task.suite
    except InputError:
        usable = False  # there is none, or it is of another version of this program
    if usable:
        loaded = load_checkpoint(path, kind.objective)
        return Built(NetworkPolicy(loaded.facts, loaded.network, device, nfe, loaded.sha256, dtype), "checkpoint")
    facts = small_facts(load_objective(kind.objective), task, like)
    return Built(NetworkPolicy(facts, fresh_network(facts.network, 0), device, nfe, dtype=dtype), "random")


def network_class(name: str) -> type[TrainedPolicy] | None:
    """The class that a name stands for, if its policies run a network of ours."""
    found: Any = find_policy(name)
    return found if isinstance(found, type) and issubclass(found, TrainedPolicy) else None


def entries_of(built: Sequence[Built], task: TaskSpec) -> tuple[Entry, ...]:
    """Gives policies names, and begins an episode.

    Raises:
        InputError: A policy does not fit the task.
    """
    entries: list[Entry] = []
    for k, (policy, weights) in enumerate(built):
        check_compatible(policy, task)
        policy.reset(task, 0)
        before = sum(other.policy.info.name == policy.info.name for other in built[:k])
        entries.append(Entry(policy.info.name + (f" ({before + 1})" if before else ""), policy, weights))
    return tuple(entries)


def compile_trunks(lineup: Lineup, cuda_graphs: bool) -> None:
    """Turns on `torch.compile` for the trunks; the first calls compile.

    Args:
        lineup: The policies.
        cuda_graphs: Record CUDA graphs, so that a pass is one launch (mode "reduce-overhead").
    """
    # The trunks share their code, and torch counts another trunk as a recompilation. Beyond a limit it would silently
    # go on uncompiled: a higher limit, and an error instead.
    settings: Any = torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, 4 * len(lineup.entries))
    settings.fail_on_recompile_limit_hit = True
    for entry in lineup.entries:
        if isinstance(entry.policy, NetworkPolicy):
            entry.policy.network.trunk.compile(dynamic=False, mode="reduce-overhead" if cuda_graphs else None)


def described(lineup: Lineup, entry: Entry, obs: Observation, device: str) -> dict[str, Any]:
    """Everything of a `results.latency.PolicyLatency` but name and times.

    Args:
        lineup: Where the policy is from.
        entry: The policy.
        obs: What it was timed with.
        device: Where it runs.
    """
    policy, info = entry.policy, entry.policy.info
    memory: dict[str, float] = {}
    facts: dict[str, Any] = {
        "objective": info.objective,
        "nfe": info.nfe,
        "horizon": policy.spec.horizon,
        "parameters": info.parameters,
        "weights": entry.weights,
        "checkpoint_sha256": info.checkpoint_sha256,
        "memory_mb": memory,
    }
    if isinstance(policy, NetworkPolicy):
        trunk, encoder = policy.network.trunk, lineup.apart or policy.network.encoder
        facts["sampler"] = policy.sampler
        facts["head_parameters"] = parameter_count(trunk)
        facts["parameters"] = parameter_count(trunk) + parameter_count(encoder)
        memory |= {"head": megabytes(trunk), "encoder": megabytes(encoder)}
    if device.startswith("cuda"):
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        entry.call(obs)
        memory["activations"] = round((torch.cuda.max_memory_allocated(device) - before) / 1e6, 1)
    return facts


def megabytes(module: nn.Module) -> float:
    """Memory of a module's weights and buffers, MB (1e6 bytes)."""
    tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
    return round(sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6, 1)


@torch.inference_mode()
def context_tokens(lineup: Lineup, obs: Observation) -> int | None:
    """Length of the sequence that the heads attend to, where there is a head."""
    for entry in lineup.entries:
        if isinstance(entry.policy, NetworkPolicy):
            encoder, batch = entry.policy.network.encoder, entry.policy.batch(obs)
            seen = encoder.sequence(batch) if isinstance(encoder, QwenEncoder) else encoder(batch)
            return int(seen.mask.shape[1])
    return None
