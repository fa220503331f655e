import numpy as np
from pyrep.backend import sim
from pyrep.errors import ConfigurationError, ConfigurationPathError, IKError

from rlbench.backend.exceptions import InvalidActionError
from rlbench.flavour import FORK

STEPS = 10


class EndEffectorPoseViaPlanning:
    def __init__(self, absolute_mode=True, frame="world", collision_checking=False):
        self._collision_checking = collision_checking

    if FORK:

        def action(self, scene, action, ignore_collisions=True):
            self._go(scene, action)

    else:

        def action(self, scene, action):
            self._go(scene, action)

    def action_shape(self, scene):
        return (7,)

    def _go(self, scene, action):
        if np.shape(action) != (7,):
            raise InvalidActionError(f"shape {np.shape(action)}")
        if not np.isclose(np.linalg.norm(action[3:]), 1.0):
            raise InvalidActionError("non unit quaternion")
        if not scene.check_target_in_workspace(action[:3]):
            raise InvalidActionError("outside of the workspace")
        self._plan(action)
        world = sim.world
        begin = world.tip.copy()
        for k in range(1, STEPS + 1):
            world.tip = begin + (action - begin) * k / STEPS
            world.tip[3:] = action[3:]
            world.joints = sim.START_JOINTS + np.resize(world.tip[:3] - sim.START_TIP[:3], 7)
            scene.step()
            if scene.task.success()[0]:
                break

    def _plan(self, action):
        """Regions that stand for what a planner may raise."""
        sim.fault("step")
        x, y = action[:2]
        if x > 0.7:
            try:
                raise ConfigurationPathError("no path")
            except ConfigurationPathError as error:
                raise InvalidActionError("a path could not be found") from error
        for outside, error in (
            (y > 0.6, ConfigurationPathError("no path")),
            (y < -0.6, IKError("no solution")),
            (x < -0.25, ConfigurationError("no configuration")),
        ):
            if outside:
                sim.world.tip[2] += 0.01  # it had begun to move
                raise error
