"""The regression policy, a control: one forward pass, trained on the squared error."""

from policies.trained import TrainedPolicy


class MeanSquaredErrorPolicy(TrainedPolicy):
    """Trained with `--objective mse`."""

    objective = "mse"
