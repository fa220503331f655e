"""The diffusion policy: DDPM with 100 forward passes, or DDIM with fewer (`--nfe 10`)."""

from policies.trained import TrainedPolicy


class DiffusionPolicy(TrainedPolicy):
    """Trained with `--objective diffusion`."""

    objective = "diffusion"
