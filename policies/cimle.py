"""The cIMLE policy, a control: one forward pass, trained on the nearest of several samples."""

from pathlib import Path

from policies.trained import TrainedPolicy


class CimlePolicy(TrainedPolicy):
    """Trained with `--objective cimle`."""

    objective = "cimle"
    default_checkpoint = Path(__file__).parent / "checkpoints" / "rlbench18_cimle.safetensors"
