"""Forward and inverse kinematics of the arm: damped least squares with several start postures."""

import mujoco
import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from envs.rlbench import panda
from envs.rlbench.pose import Pose

POSITION_TOLERANCE = 2e-4  # m
ROTATION_TOLERANCE = 2e-3  # rad
_LIMIT_MARGIN = 0.01  # rad kept from the joint limits
# Postures from which the search starts when the current one leads nowhere (rad).
_POSTURES = np.array(
    [
        (0.0, 0.2, 0.0, -1.8, 0.0, 2.0, 0.785),
        (0.6, 0.4, 0.0, -1.9, 0.0, 2.2, 1.4),
        (-0.6, 0.4, 0.0, -1.9, 0.0, 2.2, 0.1),
        (0.0, -0.4, 0.0, -2.5, 0.0, 2.4, -0.785),
        (0.9, 0.6, -0.8, -2.0, 0.6, 2.3, 2.2),
        (-0.9, 0.6, 0.8, -2.0, -0.6, 2.3, -1.4),
        (1.2, -0.8, -1.2, -2.2, -0.5, 2.0, 1.5),
        (-1.2, -0.8, 1.2, -2.2, 0.5, 2.0, -0.5),
        (0.0, 0.9, 0.0, -1.5, 0.0, 2.4, -1.6),
        (0.3, 0.6, 1.0, -2.1, 1.2, 1.6, 0.0),
        (-0.3, 0.6, -1.0, -2.1, -1.2, 1.6, 1.6),
    ]
)


class Kinematics:
    """The arm alone, without geometry: cheap enough to call some thousand times a second.

    Attributes:
        low: Least joint angles of its solutions, rad.
        high: Greatest joint angles, rad.
    """

    def __init__(self) -> None:
        xml = (
            '<mujoco><compiler angle="radian" autolimits="true"/><worldbody>'
            f"{panda.panda_body(meshes=False)}</worldbody></mujoco>"
        )
        self._model = mujoco.MjModel.from_xml_string(xml)
        self._data = mujoco.MjData(self._model)
        self._tip = self._model.site("tip").id
        self.low = panda.JOINT_LOW + _LIMIT_MARGIN
        self.high = panda.JOINT_HIGH - _LIMIT_MARGIN
        self._jacobian = np.zeros((6, self._model.nv))

    def tip(self, joints: Float[np.ndarray, "7"]) -> Pose:
        """Tip pose in the world for the given joint angles (rad)."""
        self._data.qpos[:7] = joints
        mujoco.mj_kinematics(self._model, self._data)
        matrix = self._data.site_xmat[self._tip].reshape(3, 3)
        return Pose(self._data.site_xpos[self._tip].copy(), Rotation.from_matrix(matrix))

    def solve(self, target: Pose, start: Float[np.ndarray, "7"], iterations: int = 60) -> Float[np.ndarray, "7"] | None:
        """Joint angles near `start` that reach the target, or None.

        Args:
            target: Tip pose in the world.
            start: Joint angles the search begins from, rad.
            iterations: Most Newton steps.
        """
        model, data, jacobian = self._model, self._data, self._jacobian
        goal = target.rotation.as_matrix()
        joints = np.clip(start, self.low, self.high)
        for _ in range(iterations):
            data.qpos[:7] = joints
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            current = data.site_xmat[self._tip].reshape(3, 3)
            error = np.empty(6)
            error[:3] = target.position - data.site_xpos[self._tip]
            error[3:] = _rotation_error(goal @ current.T)
            distance, angle = float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))
            if distance < POSITION_TOLERANCE and angle < ROTATION_TOLERANCE:
                return joints
            # Long steps leave the linear range: shorten them.
            error *= min(1.0, 0.15 / max(distance, 1e-9), 0.6 / max(angle, 1e-9))
            mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], self._tip)
            J = jacobian[:, :7]
            step = J.T @ np.linalg.solve(J @ J.T + 1e-4 * np.eye(6), error)
            joints = np.clip(joints + np.clip(step, -0.4, 0.4), self.low, self.high)
        return None

    def solutions(self, target: Pose, start: Float[np.ndarray, "7"]) -> list[Float[np.ndarray, "7"]]:
        """Distinct joint solutions, nearest to `start` first; empty when the pose is out of reach."""
        found: list[np.ndarray] = []
        for posture in (start, *_POSTURES):
            joints = self.solve(target, posture)
            if joints is not None and all(np.abs(joints - other).max() > 0.1 for other in found):
                found.append(joints)
        return sorted(found, key=lambda joints: float(np.abs(joints - start).max()))


def _rotation_error(difference: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Rotation vector of a rotation matrix, world frame."""
    axis = np.array(
        [
            difference[2, 1] - difference[1, 2],
            difference[0, 2] - difference[2, 0],
            difference[1, 0] - difference[0, 1],
        ]
    )
    sine = 0.5 * float(np.linalg.norm(axis))
    angle = float(np.arctan2(sine, 0.5 * (np.trace(difference) - 1.0)))
    if sine < 1e-8:
        # No rotation, or half a turn about an axis that the antisymmetric part does not show.
        return np.zeros(3) if angle < 1.0 else Rotation.from_matrix(difference).as_rotvec()
    return axis * (angle / (2.0 * sine))
