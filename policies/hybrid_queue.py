"""The policy of the hybrid queue loss: one forward pass, squared error plus a drift towards a queue of actions."""

from pathlib import Path

from policies.trained import TrainedPolicy


class HybridQueuePolicy(TrainedPolicy):
    """Trained with `--objective hybrid_queue`."""

    objective = "hybrid_queue"
    default_checkpoint = Path(__file__).parent / "checkpoints" / "rlbench18_hybrid_queue.safetensors"
