"""The flow-matching policy: ten Euler steps, or any other number (`--nfe 1`)."""

from policies.trained import TrainedPolicy


class FlowPolicy(TrainedPolicy):
    """Trained with `--objective flow`."""

    objective = "flow"
