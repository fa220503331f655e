"""The Panda's kinematics: where the tool centre point is, and joint angles that bring it somewhere. Numbers only."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

# The Panda's joint limits, rad.
JOINT_LOW = (-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973)
JOINT_HIGH = (2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973)
REST = (0.0, np.pi / 8, 0.0, -5 * np.pi / 8, 0.0, 3 * np.pi / 4, np.pi / 4)  # where ManiSkill's episodes start

# Of each joint: turn about x (rad) and offset along x (m) after the joint before, then offset along its own axis (m).
_LINKS = (
    (0.0, 0.0, 0.333),
    (-np.pi / 2, 0.0, 0.0),
    (np.pi / 2, 0.0, 0.316),
    (np.pi / 2, 0.0825, 0.0),
    (-np.pi / 2, -0.0825, 0.384),
    (np.pi / 2, 0.0, 0.0),
    (np.pi / 2, 0.088, 0.0),
)
_TOOL_M = 0.107 + 0.1034  # from the last joint along its axis: flange, then hand
_HAND_RAD = -np.pi / 4  # how the hand is turned on the flange
_POSITION_TOLERANCE = 1e-4  # m
_ROTATION_TOLERANCE = 1e-3  # rad
_DAMPING = 1e-4
_TO_REST = 0.05  # how much of the way to `REST`, as far as the pose leaves the posture open, an iteration

Frame = Float[np.ndarray, "4 4"]


def _fixed(turn: float, along: float) -> Frame:
    frame = np.eye(4)
    frame[:3, :3] = Rotation.from_euler("x", turn).as_matrix()
    frame[0, 3] = along
    return frame


_BEFORE = [_fixed(turn, along) for turn, along, _ in _LINKS]
_TOOL = np.eye(4)
_TOOL[:3, :3] = Rotation.from_euler("z", _HAND_RAD).as_matrix()
_TOOL[2, 3] = _TOOL_M


def tool(joints: Float[np.ndarray, "7"]) -> Frame:
    """Pose of the tool centre point in the frame of the arm's base."""
    return _chain(joints)[-1]


def reach(target: Frame, start: Float[np.ndarray, "7"], iterations: int = 40) -> Float[np.ndarray, "7"] | None:
    """Joint angles (rad) near `start` that bring the tool centre point to a pose; None where none are found.

    Args:
        target: Pose in the frame of the arm's base.
        start: Where the search begins.
        iterations: Most steps of it.
    """
    low, high = np.array(JOINT_LOW), np.array(JOINT_HIGH)
    joints = np.clip(np.asarray(start, dtype=float), low, high)
    for _ in range(iterations):
        frames = _chain(joints)
        now = frames[-1]
        turn = Rotation.from_matrix(target[:3, :3] @ now[:3, :3].T).as_rotvec()
        error = np.concatenate([target[:3, 3] - now[:3, 3], turn])
        if np.linalg.norm(error[:3]) < _POSITION_TOLERANCE and np.linalg.norm(turn) < _ROTATION_TOLERANCE:
            return joints
        axes = np.stack([frame[:3, 2] for frame in frames[:-1]])
        arms = now[:3, 3] - np.stack([frame[:3, 3] for frame in frames[:-1]])
        jacobian = np.concatenate([np.cross(axes, arms).T, axes.T])
        inverse = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + _DAMPING * np.eye(6))
        free = _TO_REST * (np.array(REST) - joints)
        joints = np.clip(joints + inverse @ error + free - inverse @ (jacobian @ free), low, high)
    return None


def _chain(joints: Float[np.ndarray, "7"]) -> list[Frame]:
    """Frame of every joint, its axis along z, and last the tool's."""
    frames, frame = [], np.eye(4)
    for angle, before, (_, _, along) in zip(joints, _BEFORE, _LINKS, strict=True):
        c, s = np.cos(angle), np.sin(angle)
        frame = frame @ before @ np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, along], [0, 0, 0, 1.0]])
        frames.append(frame)
    return [*frames, frame @ _TOOL]
