"""The one-step drifting policy: observation and noise to an action chunk in one forward pass."""

from pathlib import Path

from policies.trained import TrainedPolicy


class DriftingPolicy(TrainedPolicy):
    """Trained with `--objective drifting`; the shipped weights are for rlbench18."""

    objective = "drifting"
    default_checkpoint = Path(__file__).parent / "checkpoints" / "rlbench18_drifting.safetensors"
