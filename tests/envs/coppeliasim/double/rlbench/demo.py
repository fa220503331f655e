import numpy as np


class Demo:
    def __init__(self, observations, random_seed=None, num_reset_attempts=None):
        self._observations = observations
        self.random_seed = random_seed
        self.num_reset_attempts = num_reset_attempts

    def __len__(self):
        return len(self._observations)

    def __getitem__(self, k):
        return self._observations[k]

    def restore_state(self):
        np.random.set_state(self.random_seed)
