"""Settings of a latency run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from envs.spec import InputError
from policies.named import read_policy


@dataclass(frozen=True)
class Config:
    """What to time, and how."""

    policies: tuple[str, ...]
    """Names as for envs.run, with the number of forward passes if it is not the usual one: drifting diffusion:10."""
    size: Literal["small", "base"] = "small"
    """small: the network of the suite, with the shipped weights where there are some, else random ones. base: the
    large trunk with 16 actions a chunk over Qwen3-VL-2B, random weights."""
    suite: str = "rlbench18"
    """Suite whose first task says what is observed (not with --size base and a synthetic observation)."""
    observation: Literal["synthetic", "simulator"] = "synthetic"
    """synthetic: noise in the task's shapes. simulator: the beginning of the task's first test episode."""
    views: int = 3
    """Camera views (only --size base): so many of 448 x 448, or the suite's first."""
    backbone: Literal["run", "none"] = "run"
    """none: time the head alone, on random features (only --size base)."""
    backbone_calls: int | None = None
    """Time the backbone apart, this many calls, once for all policies (only --size base): for machines where it is
    slow. The policies' calls then use what it gave."""
    device: str = "cpu"
    """Where the policies run: cpu, cuda, cuda:1."""
    dtype: Literal["float32", "bfloat16"] | None = None
    """By default float32 for small, bfloat16 for base. bfloat16 is autocast, but for the frozen backbone."""
    threads: int = 1
    """CPU threads of a call; envs.run uses one."""
    compile: bool = False
    """Compile the trunks with torch.compile."""
    cuda_graphs: bool = False
    """Let the compiled trunks replay CUDA graphs (torch.compile's mode reduce-overhead)."""
    warmups: int = 50
    """Calls of each policy before those that count, after the first (cold) one."""
    calls: int = 500
    """Calls of each policy that count."""
    out: Path | None = None
    """Path of the record; by default runs/latency/<UTC time>.json."""

    @property
    def precision(self) -> str:
        """`dtype`, resolved."""
        return self.dtype or ("bfloat16" if self.size == "base" else "float32")

    @property
    def compiled(self) -> str:
        """The compile state, for tables."""
        return ("reduce-overhead" if self.cuda_graphs else "default") if self.compile else "off"

    @property
    def backbone_use(self) -> str:
        """See `results.latency.LatencyRecord.backbone`."""
        if self.backbone == "none":
            return "not run"
        return "in every call" if self.backbone_calls is None else "apart"

    @property
    def backbone_warmups(self) -> int:
        """Calls of a backbone timed apart before those that count: a fifth of these, for it is slow."""
        return 0 if self.backbone_calls is None else min(self.warmups, max(1, self.backbone_calls // 5))

    def named(self) -> list[tuple[str, int | None]]:
        """The policies, each with its number of forward passes (None for its own).

        Raises:
            InputError: There is no such policy, or it is to have weights of its own.
        """
        policies = [read_policy(word) for word in self.policies]
        if any(policy.checkpoint for policy in policies):
            raise InputError("times do not depend on the weights: name policies without a checkpoint.")
        return [(policy.name, policy.nfe) for policy in policies]


def check(config: Config) -> None:
    """Raises InputError for settings that ask for what does not exist, or contradict each other."""
    if not config.policies:
        raise InputError("there is no policy to time: add --policies drifting, for instance.")
    config.named()
    if min(config.calls, config.threads, config.views) < 1 or config.warmups < 0:
        raise InputError("--calls, --threads and --views must be at least 1, --warmups at least 0.")
    if config.backbone_calls is not None and config.backbone_calls < 1:
        raise InputError(f"--backbone-calls must be at least 1, got {config.backbone_calls}.")
    if config.size == "small" and config.backbone_use != "in every call":
        raise InputError("--backbone and --backbone-calls need --size base: small policies have no backbone.")
    if config.backbone == "none" and config.backbone_calls is not None:
        raise InputError("--backbone none and --backbone-calls contradict each other: leave one out.")
    if config.cuda_graphs and not (config.compile and config.device.startswith("cuda")):
        raise InputError("--cuda-graphs needs --compile and --device cuda.")
    if config.out is not None and config.out.suffix != ".json":
        raise InputError(f"--out must end in .json, got {config.out}.")
    if config.out is not None and config.out.exists():
        raise InputError(f"{config.out} exists already: choose another --out.")
