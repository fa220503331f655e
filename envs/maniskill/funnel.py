"""Where a hand is sent on its way to a pose: over it first, then down onto it. A function of where the hand is now.

With steps from one waypoint to the next, what to do changes at once when the hand has come within some millimetres of
the first, and a policy that stops a little beside that place waits there for good. Here the goal moves steadily from
over the pose to the pose, as the hand gets in line with it.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation, Slerp

Frame = Float[np.ndarray, "4 4"]

ABOVE_M = 0.06  # over what is gripped
_IN_LINE_M, _BESIDE_M = 0.01, 0.03  # beside the way down: straight down; from over the pose
_IN_LINE_RAD, _TURNED_RAD = 0.1, 0.3
_RISE_M = 0.03  # in which a hand that goes up comes to go sideways


def beside(at: Frame, tip: Frame) -> float:
    """How far a hand is out of line with a pose: 0 straight over it .. 1 by 3 cm or 0.3 rad or more.

    Args:
        at: The pose; the hand comes along its z axis.
        tip: The hand's.
    """
    away, turn = _away(at, tip), Rotation.from_matrix(at[:3, :3] @ tip[:3, :3].T).magnitude()
    return max(share(float(np.linalg.norm(away[:2])), _IN_LINE_M, _BESIDE_M), share(turn, _IN_LINE_RAD, _TURNED_RAD))


def onto(at: Frame, tip: Frame) -> Frame:
    """The goal of a hand that shall come to a pose from over it, and go up first where it is beside it and low.

    Args:
        at: The pose.
        tip: The hand's.
    """
    out = beside(at, tip)
    away = _away(at, tip)
    goal = backed(at, ABOVE_M * out)
    low = (1.0 - share(-float(away[2]), 0.0, _RISE_M)) * out
    goal[:3, 3] += at[:3, :3] @ (low * np.array([away[0], away[1], 0.0]))
    return goal


def upwards(to: Frame, tip: Frame, clear: float) -> Frame:
    """The goal of a hand that shall go to a pose, straight up at first, without a turn, until it has come so high.

    Args:
        to: The pose, higher than that.
        tip: The hand's.
        clear: Height (m, world) from which on it goes sideways.
    """
    way = share(float(tip[2, 3]), clear, clear + _RISE_M)
    goal = to.copy()
    goal[:2, 3] = tip[:2, 3] + way * (to[:2, 3] - tip[:2, 3])
    between = Slerp([0.0, 1.0], Rotation.from_matrix(np.stack((tip[:3, :3], to[:3, :3]))))
    goal[:3, :3] = between(way).as_matrix()
    return goal


def backed(pose: Frame, way: float) -> Frame:
    """Back from where the gripper points to, m."""
    moved = pose.copy()
    moved[:3, 3] -= way * pose[:3, 2]
    return moved


def _away(at: Frame, tip: Frame) -> Float[np.ndarray, "3"]:
    """Where a hand is, in the axes of a pose."""
    return np.asarray(at[:3, :3].T @ (tip[:3, 3] - at[:3, 3]))


def share(value: float, begin: float, end: float) -> float:
    """How far a value is on the way from one to another: 0 .. 1."""
    return float(np.clip((value - begin) / (end - begin), 0.0, 1.0))
