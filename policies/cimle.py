"""The cIMLE policy, a control: one forward pass, trained on the nearest of several samples."""

from policies.trained import TrainedPolicy


class CimlePolicy(TrainedPolicy):
    """Trained with `--objective cimle`."""

    objective = "cimle"
