"""The policy of the hybrid queue loss: one forward pass, squared error plus a drift towards a queue of actions."""

from policies.trained import TrainedPolicy


class HybridQueuePolicy(TrainedPolicy):
    """Trained with `--objective hybrid_queue`."""

    objective = "hybrid_queue"
