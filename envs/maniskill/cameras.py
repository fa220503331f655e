"""The cameras: ManiSkill's own, two of ours that stand alike in all tasks with one arm, and where they all are.

SAPIEN's camera axes are forward, left, up; those of `Camera` are right, up, backward.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from envs.spec import Camera

RENDER = "render"
OURS = ("opposite", "side")
ONE_ARM = (RENDER, "base", *OURS, "wrist")
TWO_ARMS = (RENDER, "base", "left_wrist", "right_wrist")
NEAR_M, FAR_M = 0.01, 100.0


@dataclass(frozen=True)
class View:
    """Where a camera stands that looks at a point, both in m, world; its field of view in rad."""

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    fov: float

    @property
    def axes(self) -> Float[np.ndarray, "3 3"]:
        """Right, up, backward as columns."""
        backward = np.subtract(self.position, self.target)
        backward = backward / np.linalg.norm(backward)
        right = np.cross([0.0, 0.0, 1.0], backward)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(backward, right), backward], axis=1)


# Ours: opposite the robot, and on its right.
VIEWS = {
    "opposite": View((0.85, 0.0, 0.75), (0.02, 0.03, 0.1), 0.75),
    "side": View((0.05, -0.85, 0.75), (0.02, 0.05, 0.08), 0.75),
}
# The wrist camera in the frame of the tool centre point: m, quaternion xyzw of right, up, backward.
_WRIST = ((0.046498, -0.020001, -0.067399), (0.70714, 0.707074, 0.000034, 0.000034))


def camera(name: str, size: int) -> Camera:
    """A camera's facts. Calibrated are those that stand alike in all tasks with one arm.

    ManiSkill's own stand elsewhere in each task, in PlugCharger even at the receptacle, and two arms have two end
    effectors.
    """
    if name == "wrist":
        position, quaternion = _WRIST
        return Camera(name, size, size, 90.0, "eef", position, quaternion)
    view = VIEWS.get(name)
    if view is None:
        return Camera(name, size, size)
    qx, qy, qz, qw = (round(float(part), 6) for part in Rotation.from_matrix(view.axes).as_quat(canonical=True))
    return Camera(name, size, size, round(float(np.degrees(view.fov)), 6), "world", view.position, (qx, qy, qz, qw))


def sapien_axes(axes: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """Forward, left, up for a camera's right, up, backward, as columns."""
    right, up, backward = axes.T
    return np.stack([-backward, -right, up], axis=1)
