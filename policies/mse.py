"""The regression policy, a control: one forward pass, trained on the squared error."""

from pathlib import Path

from policies.trained import TrainedPolicy


class MeanSquaredErrorPolicy(TrainedPolicy):
    """Trained with `--objective mse`."""

    objective = "mse"
    default_checkpoint = Path(__file__).parent / "checkpoints" / "rlbench18_mse.safetensors"
