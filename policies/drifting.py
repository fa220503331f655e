"""The one-step drifting policy: observation and noise to an action chunk in one forward pass."""

from policies.trained import TrainedPolicy


class DriftingPolicy(TrainedPolicy):
    """Trained with `--objective drifting`."""

    objective = "drifting"
