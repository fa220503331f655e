"""The simulator itself: builds a ManiSkill environment, plays commands, takes pictures. Imports SAPIEN and torch."""

from contextlib import ExitStack
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from envs.maniskill import cameras, install
from envs.maniskill.control import FINGER_OPEN, Arm
from envs.maniskill.meshes import light_robots
from envs.maniskill.settings import Settings
from envs.spec import InputError, SimulatorError

CPU, CUDA = "physx_cpu", "physx_cuda"
_RENDER = "render_camera"
# Our names of cameras -> ManiSkill's sensors; the render camera is none.
_SENSORS = {
    "base": "base_camera",
    "wrist": "hand_camera",
    "left_wrist": "panda_wristcam-0-hand_camera",
    "right_wrist": "panda_wristcam-1-hand_camera",
}
_SHADER = "default"  # ManiSkill's sensors have "minimal" otherwise


class Simulation:
    """One ManiSkill environment. PhysX allows one a process.

    Attributes:
        base: ManiSkill's environment.
        descriptions: Robot -> path of its URDF in the package.

    Args:
        settings: The task as the suite wants it.
        mode: Name of the controller, see `Control.mode`.
        sim: `CPU` or `CUDA`.
    """

    _open: "Simulation | None" = None

    def __init__(self, settings: Settings, mode: str, sim: str) -> None:
        """Builds the scene.

        Raises:
            InputError: Packages, driver or CUDA device are missing, or the task needs assets that are not there.
            SimulatorError: This process holds another one, or ManiSkill cannot build it.
        """
        install.check_packages()
        if Simulation._open is not None:
            raise SimulatorError("ManiSkill runs once a process: close the other environment first")
        with install.quiet():
            self._build(settings, mode, sim)
        Simulation._open = self
        self._scene: Any = None
        self._ours: dict[tuple[str, int, int], Any] = {}

    def _build(self, settings: Settings, mode: str, sim: str) -> None:
        install.check_driver()
        check_device(sim)
        import gymnasium
        import mani_skill.envs  # noqa: F401 - registers the tasks
        from mani_skill.agents.registration import REGISTERED_AGENTS

        install.forbid_downloads()
        view = {"width": settings.size, "height": settings.size, "shader_pack": _SHADER}
        robots = settings.robots if settings.task.arms > 1 else settings.robots[0]
        self._settings = settings
        self._undo = ExitStack()
        agents = [REGISTERED_AGENTS[name].agent_cls for name in dict.fromkeys(settings.robots)]
        self.descriptions = {agent.uid: str(agent.urdf_path) for agent in agents}
        if settings.options.light_meshes:  # until it is closed: some tasks build the robot anew in every reset
            self._undo.enter_context(light_robots(agents))
        try:
            made = gymnasium.make(
                settings.task.name,
                num_envs=1,
                robot_uids=robots,
                obs_mode="none",  # pictures are taken below, of the cameras that are wanted alone
                reward_mode="none",
                control_mode=mode,
                render_mode="rgb_array",
                sim_backend=sim,
                render_backend="cpu" if sim == CPU else "gpu",
                sensor_configs=dict(view),
                human_render_camera_configs=dict(view),
            )
        except InputError:
            self._undo.close()
            raise
        except (Exception, SystemExit) as error:  # it exits where an asset is missing
            self._undo.close()
            raise SimulatorError(f"ManiSkill cannot build {settings.task.name}: {said(error)}") from error
        self.base: Any = made.unwrapped

    # -- the episode ---------------------------------------------------------------------------------------------

    @property
    def agents(self) -> list[Any]:
        """ManiSkill's agent of each arm, the left one first."""
        return list(getattr(self.base.agent, "agents", [self.base.agent]))

    def reset(self, seed: int) -> None:
        """Puts the scene into the initial state of a seed.

        The scene is built anew: PhysX remembers contacts of the episode before, which would go on in this one.
        """
        self.base.reset(seed=seed, options={"reconfigure": True})

    def step(self, command: Float[np.ndarray, "arms n"]) -> bool:
        """Carries out a command for each arm; true when the success condition holds afterwards."""
        if len(command) == 1:
            info = self.base.step(command[0])[-1]
        else:
            info = self.base.step(dict(zip(self.base.agent.agents_dict, command, strict=True)))[-1]
        return bool(info["success"].item())

    def arms(self) -> list[Arm]:
        """State of each arm. On the CPU it is read past ManiSkill's tensors, which take half a millisecond."""
        states = []
        for agent in self.agents:
            if self.base.gpu_sim_enabled:
                qpos, tip, base = agent.robot.get_qpos()[0].cpu().numpy(), agent.tcp.pose.sp, agent.robot.pose.sp
            else:
                robot = agent.robot._objs[0]
                qpos, tip, base = robot.qpos, agent.tcp._objs[0].entity_pose, robot.root_pose
            fingers = np.clip(qpos[7:9], 0.0, FINGER_OPEN)
            frames = tip.to_transformation_matrix(), base.to_transformation_matrix()
            states.append(Arm(qpos[:7], fingers, frames[0], tip.q[[1, 2, 3, 0]], frames[1]))
        return states

    # -- pictures ------------------------------------------------------------------------------------------------

    def pictures(self) -> dict[str, UInt8[np.ndarray, "size size 3"]]:
        """A picture by each camera of the suite."""
        names, size = self._settings.cameras, self._settings.size
        if not names:
            return {}
        views = {name: self._camera(name, size) for name in names}  # a new one must be there before the update
        self._show_goal(self._settings.options.goal_marker)
        self.base.scene.update_render(
            update_sensors=any(name in _SENSORS for name in names),
            update_human_render_cameras=cameras.RENDER in names,
        )
        return {name: _taken(view) for name, view in views.items()}

    def picture(self, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        """A picture for people, as the render camera sees it; the goal's marker shows."""
        view = self._own("studio", height, width)
        self._show_goal(True)
        self.base.scene.update_render(update_sensors=False, update_human_render_cameras=True)
        return _taken(view)

    def _camera(self, name: str, size: int) -> Any:
        if name == cameras.RENDER:
            return self.base._human_render_cameras[_RENDER]
        return self._own(name, size, size) if name in cameras.OURS else self.base._sensors[_SENSORS[name]]

    def _own(self, name: str, height: int, width: int) -> Any:
        """A camera that ManiSkill does not have; it lives as long as the scene."""
        import sapien
        from mani_skill.sensors.camera import Camera, CameraConfig

        if self._scene is not self.base.scene:
            self._scene, self._ours = self.base.scene, {}
        key = name, height, width
        if key not in self._ours:
            view = cameras.VIEWS.get(name)
            if view is None:
                like = self.base._human_render_cameras[_RENDER].config
                pose, fov, mount = like.pose, like.fov, like.mount
            else:
                frame = np.eye(4)
                frame[:3, :3], frame[:3, 3] = cameras.sapien_axes(view.axes), view.position
                pose, fov, mount = sapien.Pose(frame), view.fov, None
            near, far = cameras.NEAR_M, cameras.FAR_M
            config = CameraConfig(name, pose, width, height, fov, near, far, mount=mount, shader_pack=_SHADER)
            self._ours[key] = Camera(config, self.base.scene)
        return self._ours[key]

    def _show_goal(self, shown: bool) -> None:
        for thing in self.base._hidden_objects:
            thing.show_visual() if shown else thing.hide_visual()

    def close(self) -> None:
        """Frees the scene. Safe to call twice."""
        if Simulation._open is self:
            Simulation._open = None
            self._scene, self._ours = None, {}
            self.base.close()
            self._undo.close()


def check_device(sim: str) -> None:
    """Raises InputError for the CUDA back end without a CUDA device."""
    if sim == CUDA:
        import torch

        if not torch.cuda.is_available():
            raise InputError("--sim physx_cuda needs an NVIDIA GPU and a CUDA build of torch: leave --sim out.")


def said(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _taken(camera: Any) -> UInt8[np.ndarray, "h w 3"]:
    camera.capture()
    picture = camera.get_obs(rgb=True, depth=False, position=False, segmentation=False)["rgb"]
    return np.ascontiguousarray(picture[0].cpu().numpy(), dtype=np.uint8)
