"""Off-screen cameras."""

import mujoco
import numpy as np
from jaxtyping import UInt8

from envs.rlbench import RENDERING_REMEDY
from envs.rlbench.world import World
from envs.spec import InputError

_SHADOW_CENTRE = np.array([0.25, 0.0, 0.9])  # m
_SHADOW_RADIUS = 1.1  # m: the table and little of the floor, which would show specks


def focus_shadows(world: World) -> None:
    """Spends the shadow map on the table alone instead of the whole room: sharp edges. For pictures, not observations.

    Args:
        world: Changed in place, before `Cameras` opens a renderer for it.
    """
    model = world.model
    model.vis.map.shadowclip = _SHADOW_RADIUS / model.stat.extent
    for light in range(model.nlight):
        model.light_pos[light] = _SHADOW_CENTRE - 3.0 * model.light_dir[light]


class Cameras:
    """Renders a world's cameras at one size. One instance a process owns its GL context."""

    def __init__(self, world: World, height: int, width: int, shadows: bool = False) -> None:
        """Opens a renderer.

        Raises:
            InputError: No off-screen GL (the message names the packages).
        """
        try:
            self._renderer = mujoco.Renderer(world.model, height, width)
        except Exception as error:
            raise InputError(f"off-screen rendering does not start ({error}). {RENDERING_REMEDY}") from error
        self._world = world
        flags = self._renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = int(shadows)
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = (1, 1, 1, 0, 0, 0)
        self._options.sitegroup[:] = 0

    def image(self, camera: str) -> UInt8[np.ndarray, "h w 3"]:
        """What a camera sees, RGB."""
        self._renderer.update_scene(self._world.data, camera, self._options)
        return self._renderer.render()

    def close(self) -> None:
        """Frees the GL context."""
        self._renderer.close()
