import numpy as np
from pyrep.backend import sim

from rlbench.backend.exceptions import InvalidActionError


class Discrete:
    def __init__(self, attach_grasped_objects=True, detach_before_open=True):
        self._attach_grasped_objects = attach_grasped_objects

    def action(self, scene, action):
        if np.shape(action) != (1,):
            raise InvalidActionError(f"shape {np.shape(action)}")
        sim.world.fingers[:] = 0.04 if action[0] > 0.5 else 0.0
        scene.step()

    def action_shape(self, scene):
        return (1,)
