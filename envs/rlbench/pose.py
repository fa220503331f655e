"""A rigid pose: position in metres and rotation, with composition."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Pose:
    """Position (m) and rotation of a frame in its parent."""

    position: Float[np.ndarray, "3"]
    rotation: Rotation

    def __mul__(self, other: "Pose") -> "Pose":
        """This pose, then `other` in its frame."""
        return Pose(self.position + self.rotation.apply(other.position), self.rotation * other.rotation)

    def inverse(self) -> "Pose":
        """The parent's pose in this frame."""
        inverse = self.rotation.inv()
        return Pose(-inverse.apply(self.position), inverse)

    def at(self, x: float, y: float, z: float) -> Float[np.ndarray, "3"]:
        """Parent coordinates of a point given in this frame, m."""
        return self.position + self.rotation.apply([x, y, z])

    @property
    def yaw(self) -> float:
        """Heading of the frame's x axis in the parent's x-y plane, rad."""
        x, y, _ = self.rotation.apply([1.0, 0.0, 0.0])
        return float(np.arctan2(y, x))


def yaw_pose(x: float, y: float, z: float, yaw: float = 0.0) -> Pose:
    """A pose turned about the vertical alone."""
    return Pose(np.array([x, y, z], dtype=float), Rotation.from_euler("z", yaw))
