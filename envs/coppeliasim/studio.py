"""Pictures for people: a camera beside the robot's own, made when first asked for."""

from typing import Any

import numpy as np
from jaxtyping import UInt8


class Studio:
    """Takes pictures of the scene of the running simulator."""

    def __init__(self) -> None:
        self._camera: tuple[tuple[int, int], Any] | None = None

    def picture(self, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        """A picture from the place that RLBench has for a camera for people."""
        from pyrep.const import RenderMode
        from pyrep.objects.dummy import Dummy
        from pyrep.objects.vision_sensor import VisionSensor

        if self._camera is None or self._camera[0] != (height, width):
            if self._camera is not None:
                self._camera[1].remove()
            camera = VisionSensor.create([width, height], explicit_handling=True, render_mode=RenderMode.OPENGL)
            camera.set_pose(Dummy("cam_cinematic_placeholder").get_pose())
            self._camera = (height, width), camera
        camera = self._camera[1]
        camera.handle_explicitly()
        picture: np.ndarray = (np.clip(camera.capture_rgb(), 0.0, 1.0) * 255).astype(np.uint8)
        return picture
