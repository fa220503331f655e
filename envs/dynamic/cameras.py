"""Cameras of the suite: two that look at the middle of the table from near by, and RLBench's wrist camera."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from envs.rlbench import lab
from envs.spec import Camera, InputError
from envs.suite import nearest

# name: position, point it looks at (m, world), vertical field of view (degrees)
_FIXED = {
    "opposite": ((1.10, 0.0, 1.50), (0.30, 0.0, 0.83), 46),
    "side": ((0.33, 0.98, 1.62), (0.33, 0.04, 0.83), 42),
}
NAMES = (*_FIXED, "wrist")


def camera(name: str, size: int) -> Camera:
    """A camera's calibration.

    Raises:
        InputError: There is no such camera.
    """
    if name not in NAMES:
        raise InputError(f"the suite has no camera {name!r}.{nearest(name, NAMES)} Choose among {', '.join(NAMES)}.")
    if name == "wrist":
        return lab.camera(name, size)
    position, target, fov = _FIXED[name]
    qx, qy, qz, qw = (round(float(value), 6) for value in _looking(position, target).as_quat(canonical=True))
    return Camera(name, size, size, float(fov), "world", position, (qx, qy, qz, qw))


def cameras_xml() -> str:
    """MJCF of the fixed cameras; the wrist camera is part of the robot."""
    xml = ""
    for name in _FIXED:
        facts = camera(name, 1)
        x, y, z = facts.position
        qx, qy, qz, qw = facts.quaternion
        xml += f'<camera name="{name}" pos="{x} {y} {z}" quat="{qw} {qx} {qy} {qz}" fovy="{facts.fov}"/>'
    return xml


def _looking(position: Sequence[float], target: Sequence[float]) -> Rotation:
    """Axes (right, up, backward) of a level camera that looks at a point."""
    backward = np.subtract(position, target)
    backward /= np.linalg.norm(backward)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    return Rotation.from_matrix(np.stack([right, np.cross(backward, right), backward], axis=1))
