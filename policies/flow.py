"""The flow-matching policy: ten Euler steps, or any other number (`--nfe 1`)."""

from pathlib import Path

from policies.trained import TrainedPolicy


class FlowPolicy(TrainedPolicy):
    """Trained with `--objective flow`."""

    objective = "flow"
    default_checkpoint = Path(__file__).parent / "checkpoints" / "rlbench18_flow.safetensors"
