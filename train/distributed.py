"""Training in several processes, as started by torchrun: one shares the other's gradients.

torchrun --nproc-per-node 2 -m train.run --suite rlbench18
"""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        rank: Of this process.
        size: Number of processes.
        local_rank: Of this process on its machine; picks its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def join(cls, device: str) -> "World":
        """Meets the other processes, where torchrun started several; alone otherwise."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        if not distributed.is_initialized():
            # The others wait while the main process validates or plays episodes.
            backend = "nccl" if device.startswith("cuda") else "gloo"
            distributed.init_process_group(backend, timeout=timedelta(days=1))
        return cls(distributed.get_rank(), size, int(os.environ.get("LOCAL_RANK", "0")))

    @property
    def main(self) -> bool:
        """This process logs, saves and validates."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The device of this process: of several GPUs its own."""
        return f"cuda:{self.local_rank}" if name == "cuda" and self.size > 1 else name

    def mine(self, rows: Tensor) -> Tensor:
        """This process's share of a batch."""
        return rows.tensor_split(self.size)[self.rank]

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over the processes."""
        if self.size == 1:
            return module
        return DistributedDataParallel(module, find_unused_parameters=True)

    def together(self, module: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Where a batch comes in pieces: gradients are averaged with its last piece alone."""
        if isinstance(module, DistributedDataParallel) and not last:
            return module.no_sync()
        return nullcontext()

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        if self.size == 1:
            return flag
        value = torch.tensor(float(flag))
        if distributed.get_backend() == "nccl":
            value = value.cuda(self.local_rank)
        distributed.all_reduce(value, distributed.ReduceOp.MAX)
        return bool(value.item())

    def leave(self) -> None:
        """Ends the meeting."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()
