"""The simulator itself: builds a ManiSkill environment, plays commands, takes pictures. Imports SAPIEN and torch."""

from contextlib import ExitStack
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from envs.maniskill import install
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
_FAR_M = 100.0  # the camera for people sees no farther


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
        self._studio: tuple[Any, int, int, Any] | None = None

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
        """Puts the scene into the initial state of a seed."""
        self.base.reset(seed=seed)

    def step(self, command: Float[np.ndarray, "arms n"]) -> bool:
        """Carries out a command for each arm; true when the success condition holds afterwards."""
        if len(command) == 1:
            info = self.base.step(command[0])[-1]
        else:
            info = self.base.step(dict(zip(self.base.agent.agents_dict, command, strict=True)))[-1]
        return bool(info["success"].item())

    def arms(self) -> list[tuple[Float[np.ndarray, "9"], Float[np.ndarray, "7"]]]:
        """State of each arm: seven joint angles (rad) and two fingers (m); the tool centre point in the base's frame.

        The latter as x y z (m) and a quaternion wxyz. On the CPU both are read past ManiSkill's tensors, which take
        half a millisecond.
        """
        states = []
        for agent in self.agents:
            if self.base.gpu_sim_enabled:
                qpos, base, tip = agent.robot.get_qpos()[0].cpu().numpy(), agent.robot.pose.sp, agent.tcp.pose.sp
            else:
                robot = agent.robot._objs[0]
                qpos, base, tip = robot.qpos, robot.root_pose, agent.tcp._objs[0].entity_pose
            relative = base.inv() * tip
            states.append((qpos, np.concatenate([relative.p, relative.q])))
        return states

    # -- pictures ------------------------------------------------------------------------------------------------

    def pictures(self) -> dict[str, UInt8[np.ndarray, "size size 3"]]:
        """A picture by each camera of the suite."""
        cameras = self._settings.cameras
        if not cameras:
            return {}
        self._show_goal(self._settings.options.goal_marker)
        self.base.scene.update_render(
            update_sensors=any(name in _SENSORS for name in cameras),
            update_human_render_cameras="render" in cameras,
        )
        return {name: _taken(self._camera(name)) for name in cameras}

    def picture(self, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        """A picture for people, as the render camera sees it; the goal's marker shows."""
        scene = self.base.scene
        if self._studio is None or self._studio[:3] != (scene, height, width):
            self._studio = (scene, height, width, self._studio_camera(height, width))
        self._show_goal(True)
        scene.update_render(update_sensors=False, update_human_render_cameras=True)
        return _taken(self._studio[3])

    def _camera(self, name: str) -> Any:
        if name == "render":
            return self.base._human_render_cameras[_RENDER]
        return self.base._sensors[_SENSORS[name]]

    def _studio_camera(self, height: int, width: int) -> Any:
        from mani_skill.sensors.camera import Camera, CameraConfig

        like = self.base._human_render_cameras[_RENDER].config
        config = CameraConfig(
            "studio", like.pose, width, height, like.fov, like.near, _FAR_M, mount=like.mount, shader_pack=_SHADER
        )
        return Camera(config, self.base.scene)

    def _show_goal(self, shown: bool) -> None:
        for thing in self.base._hidden_objects:
            thing.show_visual() if shown else thing.hide_visual()

    def close(self) -> None:
        """Frees the scene. Safe to call twice."""
        if Simulation._open is self:
            Simulation._open = None
            self._studio = None
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
