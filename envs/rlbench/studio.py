"""Pictures for people: a second, prettier model of a task's scene, made when first asked for."""

import mujoco
import numpy as np
from jaxtyping import UInt8

from envs.rlbench.blueprint import Blueprint, compile_world
from envs.rlbench.render import Cameras, focus_shadows
from envs.rlbench.world import CHANGED, PICTURE_QUALITY, World


class Studio:
    """Takes pictures of a world.

    Args:
        task: Task of the world.
        world: The one that is simulated.
    """

    def __init__(self, task: type[Blueprint], world: World) -> None:
        self._task, self._simulated = task, world
        self._world: World | None = None
        self._cameras: dict[tuple[int, int], Cameras] = {}

    def picture(self, camera: str, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        """The scene as it is, from any camera: multisampling and shadows, unlike the observation."""
        if self._world is None:
            self._world = compile_world(self._task, PICTURE_QUALITY, (720, 1280))
            focus_shadows(self._world)
        world = self._world
        if (height, width) not in self._cameras:
            self._cameras[height, width] = Cameras(world, height, width, shadows=True)
        for name in CHANGED:
            getattr(world.model, name)[:] = getattr(self._simulated.model, name)
        for name in ("qpos", "mocap_pos", "mocap_quat"):
            getattr(world.data, name)[:] = getattr(self._simulated.data, name)
        mujoco.mj_kinematics(world.model, world.data)
        mujoco.mj_camlight(world.model, world.data)
        return self._cameras[height, width].image(camera)

    def close(self) -> None:
        """Frees the GL contexts."""
        for cameras in self._cameras.values():
            cameras.close()
        self._world, self._cameras = None, {}
