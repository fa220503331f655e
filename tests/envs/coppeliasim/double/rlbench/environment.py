import os

from pyrep import PyRep
from pyrep.backend import sim

from rlbench.backend.scene import Scene
from rlbench.observation_config import ObservationConfig
from rlbench.task_environment import TaskEnvironment


class Environment:
    def __init__(
        self,
        action_mode,
        dataset_root="",
        obs_config=None,
        headless=False,
        static_positions=False,
        robot_setup="panda",
        randomize_every=None,
        frequency=1,
        visual_randomization_config=None,
        dynamics_randomization_config=None,
        attach_grasped_objects=True,
    ):
        if robot_setup not in ("panda", "jaco", "mico", "sawyer", "ur5"):
            raise ValueError(robot_setup)
        if dataset_root and not os.path.exists(dataset_root):
            raise RuntimeError(dataset_root)
        self._action_mode, self._obs_config = action_mode, obs_config or ObservationConfig()
        self._headless, self._pyrep, self._scene = headless, None, None

    def launch(self):
        if self._pyrep is not None:
            raise RuntimeError("launch was called already")
        self._pyrep = PyRep()
        self._pyrep.launch("task_design.ttt", headless=self._headless)
        self._scene = Scene(self._pyrep, self._obs_config)

    def shutdown(self):
        if self._pyrep is not None:
            self._pyrep.shutdown()
        self._pyrep = None

    def get_task(self, task_class):
        if self._pyrep is None:
            self.launch()
        sim.fault("load")
        task = task_class(self._pyrep, None)
        sim.log(f"task {task.get_name()}")
        return TaskEnvironment(self._pyrep, self._scene, task, self._action_mode, self._obs_config)

    @property
    def action_shape(self):
        return (self._action_mode.action_shape(self._scene),)
