"""The way of a hand onto a pose, as a function of where it is."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from envs.maniskill.funnel import ABOVE_M, Frame, beside, onto, upwards


def hand(x: float, y: float, z: float, yaw: float = 0.0) -> Frame:
    """A gripper that points down, turned about the vertical by degrees."""
    pose = np.eye(4)
    pose[:3, :3] = (
        Rotation.from_euler("z", yaw, degrees=True) * Rotation.from_euler("x", 180, degrees=True)
    ).as_matrix()
    pose[:3, 3] = (x, y, z)
    return pose


AT = hand(0.1, -0.2, 0.02)


def test_from_afar_it_goes_over_the_pose_and_in_line_with_it_down():
    assert np.allclose(onto(AT, hand(-0.1, 0.1, 0.3))[:3, 3], (0.1, -0.2, 0.02 + ABOVE_M))
    for height in (0.02, 0.05, 0.08, 0.3):
        assert np.allclose(onto(AT, hand(0.104, -0.197, height, 3.0)), AT)


@pytest.mark.parametrize(("yaw", "out"), [(0.0, 0.0), (5.0, 0.0), (20.0, 1.0), (90.0, 1.0)])
def test_a_hand_that_is_still_turned_waits_over_the_pose(yaw, out):
    tip = hand(0.1, -0.2, 0.08, yaw)
    assert beside(AT, tip) == pytest.approx(out)
    assert np.allclose(onto(AT, tip)[:3, 3], (0.1, -0.2, 0.02 + out * ABOVE_M))


def test_a_low_hand_goes_up_before_it_goes_sideways():
    goal = onto(AT, hand(0.2, -0.2, 0.01))
    assert np.allclose(goal[:3, 3], (0.2, -0.2, 0.02 + ABOVE_M))
    assert np.allclose(onto(AT, hand(0.2, -0.2, 0.035))[:3, 3], (0.15, -0.2, 0.02 + ABOVE_M))
    assert np.allclose(onto(AT, hand(0.2, -0.2, 0.05))[:3, 3], (0.1, -0.2, 0.02 + ABOVE_M))


def test_the_goal_moves_steadily():
    # 1 mm of the hand moves the goal by a few millimetres at most: nothing changes at once.
    rng = np.random.default_rng(0)
    for _ in range(300):
        x, y, z = rng.uniform((-0.05, -0.05, -0.02), (0.05, 0.05, 0.12))
        tip, near = hand(0.1 + x, -0.2 + y, 0.02 + z), hand(0.101 + x, -0.2 + y, 0.021 + z)
        assert np.linalg.norm(onto(AT, tip)[:3, 3] - onto(AT, near)[:3, 3]) < 0.008


def test_what_stands_askew_is_come_to_along_its_own_axis():
    tilted = AT.copy()
    tilted[:3, :3] = Rotation.from_euler("y", 15, degrees=True).as_matrix() @ AT[:3, :3]
    goal = onto(tilted, hand(0.4, 0.0, 0.3))
    assert np.allclose(goal[:3, 3], tilted[:3, 3] - ABOVE_M * tilted[:3, 2])
    assert beside(tilted, goal) == 0.0


def test_with_a_part_the_hand_goes_up_before_it_turns_and_goes_sideways():
    to = hand(0.0, 0.3, 0.2, 90.0)
    low, half, high = (upwards(to, hand(0.1, -0.1, z), 0.05) for z in (0.02, 0.065, 0.2))
    assert np.allclose(low, hand(0.1, -0.1, 0.2))
    assert np.allclose(half, hand(0.05, 0.1, 0.2, 45.0))
    assert np.allclose(high, to)
