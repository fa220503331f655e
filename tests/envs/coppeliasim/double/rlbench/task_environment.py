import numpy as np
from pyrep.backend import sim

from rlbench.backend.exceptions import BoundaryError, TaskEnvironmentError
from rlbench.demo import Demo
from rlbench.flavour import FORK


class TaskEnvironment:
    def __init__(self, pyrep, scene, task, action_mode, obs_config):
        self._scene, self._task, self._action_mode, self._obs_config = scene, task, action_mode, obs_config
        self._variation_number, self._reset_called = 0, False
        scene.task = task
        pyrep.start()

    def get_name(self):
        return self._task.get_name()

    def variation_count(self):
        return self._task.variation_count()

    def set_variation(self, v):
        if v >= self.variation_count():
            raise TaskEnvironmentError(f"there are only {self.variation_count()} variations")
        self._variation_number = v

    def reset(self):
        self._scene.reset()
        self._scene.variation = self._variation_number
        if sim.faulty("placement"):
            raise TaskEnvironmentError("could not place the task") from BoundaryError()
        if sim.faulty("detour"):  # the planner, whose numbers are not NumPy's, did not reach the first place
            self._task.init_episode(self._variation_number)
        descriptions = self._task.init_episode(self._variation_number)
        self._reset_called = True
        return descriptions, self._scene.get_observation()

    if FORK:

        def reset_to_demo(self, demo):
            demo.restore_state()
            return self.reset()

    else:

        def reset_to_demo(self, demo):
            demo.restore_state()
            self.set_variation(demo._observations[0].misc["variation_index"])
            return self.reset()

    def get_observation(self):
        return self._scene.get_observation()

    def step(self, action):
        if not self._reset_called:
            raise RuntimeError("reset comes before step")
        self._action_mode.action(self._scene, action)
        success, terminate = self._task.success()
        return self._scene.get_observation(), float(success), terminate

    def get_demos(
        self, amount, live_demos=False, image_paths=False, callable_each_step=None, max_attempts=10,
        random_selection=True, from_episode_number=0,
    ):  # fmt: skip
        if not live_demos:
            raise RuntimeError("no dataset root")
        demos = []
        for _ in range(amount):
            state = np.random.get_state()
            self.reset()
            if sim.faulty("solve"):
                raise RuntimeError("could not collect demos")
            demos.append(Demo(self._solve(), state))
        return demos

    def _solve(self):
        """A motion above the target, a pause, one down to it, a pause, and the gripper closes."""
        world, observations = sim.world, [self.get_observation()]
        for height in (0.2, 0.0):
            begin, above = world.tip[:3].copy(), world.target + np.array([0.0, 0.0, height])
            for k in range(1, 13):
                world.velocities = np.full(7, 0.5 if k < 12 else 0.0)
                world.tip[:3] = begin + (above - begin) * k / 12
                observations.append(self.get_observation())
        for fingers in (0.04, 0.04, 0.02, 0.0):
            world.fingers[:] = fingers
            observations.append(self.get_observation())
        assert self._task.success()[0]
        return observations
