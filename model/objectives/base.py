"""The interface of training objectives: one file each, all over the same trunk.

Shapes: B observations, G samples of each, P positives, T time steps, 128 slots. Chunks are internal vectors
(`model.normalize`): normalised, rotations 6-D. All of an objective's arithmetic outside the trunk runs in float32.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from envs.spec import InputError
from model.trunk import Context, Trunk


@dataclass(frozen=True)
class Losses:
    """What one training step computed.

    Attributes:
        total: Scalar to differentiate.
        metrics: Detached scalars to log; their meaning is the objective's.
    """

    total: Float[Tensor, ""]
    metrics: dict[str, float] = field(default_factory=dict)


class Objective(ABC):
    """How a trunk is trained and sampled.

    Attributes:
        name: Name on the command line, in checkpoints and in tables.
        input_dim: Size of a time step of the trunk's input; None for the trunk's own default (noise).
        time_embedding: The trunk gets a time.
        nfe: Forward passes of the trunk for one sample.
    """

    name: str
    input_dim: int | None = None
    time_embedding: bool = False
    nfe: int = 1

    @property
    def sampler(self) -> str:
        """How `sample` works, for tables."""
        return "one pass"

    def with_nfe(self, nfe: int) -> Self:
        """The same objective, sampling with another number of forward passes.

        Raises:
            InputError: It cannot.
        """
        if nfe != self.nfe:
            raise InputError(
                f"objective {self.name!r} samples in {self.nfe} forward pass, it cannot take {nfe}. Leave the number "
                "out, or use diffusion or flow."
            )
        return self

    def quick(self) -> "Objective":
        """The same objective, sampling fast enough to watch a training by; itself unless it takes many passes."""
        return self

    def state_dict(self) -> dict[str, Any]:
        """What `loss` has gathered so far (tensors and numbers); training saves it to resume exactly."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up a saved `state_dict`."""
        if state:
            raise ValueError(f"objective {self.name!r} keeps no state, got {sorted(state)}")

    @abstractmethod
    def loss(
        self,
        trunk: Trunk,
        context: Context,
        target: Float[Tensor, "B P T 128"],
        mask: Bool[Tensor, "B T 128"],
        rng: torch.Generator,
        progress: float = 1.0,
    ) -> Losses:
        """One step's loss.

        Args:
            trunk: Network to train.
            context: Encoded observations.
            target: Valid chunks of each observation (the positives).
            mask: Slots that count; the others have no influence.
            rng: Source of all randomness.
            progress: Share of the training that is done, 0 .. 1, for schedules.
        """

    @abstractmethod
    def sample(
        self,
        trunk: Trunk,
        context: Context,
        n: int,
        rng: torch.Generator,
        horizon: int | None = None,
        mask: Bool[Tensor, "*mask 128"] | None = None,
    ) -> Float[Tensor, "B n T 128"]:
        """Draws n chunks an observation. What is in inactive slots means nothing.

        Args:
            trunk: Trained network.
            context: Encoded observations.
            n: Samples of each observation.
            rng: Source of all randomness.
            horizon: Time steps; the trunk's own by default.
            mask: The slots that count, [128] or [B, T, 128]. Objectives that feed a chunk back into the trunk need it.
        """


class OnePass(Objective):
    """An objective that samples in one forward pass from noise to chunk."""

    def sample(
        self,
        trunk: Trunk,
        context: Context,
        n: int,
        rng: torch.Generator,
        horizon: int | None = None,
        mask: Bool[Tensor, "*mask 128"] | None = None,
    ) -> Float[Tensor, "B n T 128"]:
        """See `Objective.sample`."""
        return trunk(noise_chunk(trunk, context, n, rng, horizon), context)


def noise_chunk(trunk: Trunk, context: Context, n: int, rng: torch.Generator, horizon: int | None = None) -> Tensor:
    """Standard normal trunk input [B, n, T, D]. Drawn on the generator's device, so a seed means one chunk."""
    shape = (context.embedding.shape[0], n, horizon or trunk.config.horizon, trunk.config.input_dim)
    return torch.randn(shape, generator=rng, device=rng.device).to(context.embedding.device)


def uniform(shape: tuple[int, ...], rng: torch.Generator, device: torch.device) -> Tensor:
    """Uniform numbers in [0, 1), drawn on the generator's device."""
    return torch.rand(shape, generator=rng, device=rng.device).to(device)


def pick_positives(target: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """Valid chunks [B, n, T, D], drawn with replacement from each observation's positives [B, P, T, D]."""
    B, P = target.shape[:2]
    if P == 1:
        return target.expand(-1, n, -1, -1)
    which = torch.randint(P, (B, n), generator=rng, device=rng.device).to(target.device)
    return target[torch.arange(B, device=target.device)[:, None], which]


def sampling_mask(objective: Objective, mask: Tensor | None) -> Tensor:
    """The mask as a factor of samples [B, n, T, D].

    Raises:
        ValueError: There is none.
    """
    if mask is None:
        raise ValueError(f"objective {objective.name!r} feeds its chunk back into the trunk: give `sample` the mask")
    return (mask if mask.ndim == 1 else mask[:, None]).float()


def masked_mean(values: Float[Tensor, "B n T D"], mask: Bool[Tensor, "B T D"]) -> Float[Tensor, ""]:
    """Mean over the active entries."""
    return (values * mask[:, None]).sum() / (mask.sum() * values.shape[1]).clamp(min=1)


@torch.no_grad()
def sample_metrics(samples: Tensor, target: Tensor, mask: Tensor) -> dict[str, float]:
    """Squared errors that tell modes from averages, each a mean over active slots.

    Args:
        samples: [B, G, T, 128].
        target: [B, P, T, 128].
        mask: [B, T, 128].

    Returns:
        `best_mse`: of the sample nearest to the first positive. `centroid_mse`: of the samples' mean. `spread`: mean
        squared deviation of samples from their mean; near zero when the noise is ignored.
    """
    m = mask[:, None].float()
    size = m.sum((-2, -1)).clamp(min=1)

    def error(a: Tensor, b: Tensor) -> Tensor:
        return ((a - b).square() * m).sum((-2, -1)) / size

    centre, goal = samples.mean(1, keepdim=True), target[:, :1]
    return {
        "best_mse": error(samples, goal).amin(1).mean().item(),
        "centroid_mse": error(centre, goal).mean().item(),
        "spread": error(samples, centre).mean().item(),
    }


def options_of(objective: Objective) -> dict[str, Any]:
    """The objective's settings as plain data, for the checkpoint."""
    return {name: value for name, value in vars(objective).items() if isinstance(value, (int, float, str, bool, tuple))}


def check_positive(objective: Objective) -> None:
    """Raises InputError where a number among the settings is not above zero."""
    for name, value in options_of(objective).items():
        if isinstance(value, str) or any(v <= 0 for v in (value if isinstance(value, tuple) else (value,))):
            raise InputError(f"objective {objective.name!r} needs {name} above 0, got {value!r}.")
