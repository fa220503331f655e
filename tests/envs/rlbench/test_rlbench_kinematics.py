import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs.rlbench import panda
from envs.rlbench.kinematics import Kinematics
from envs.rlbench.pose import Pose
from envs.rlbench.task import facing_down

pytestmark = pytest.mark.sim

ARM = Kinematics()
shares = st.lists(st.floats(0.1, 0.9), min_size=7, max_size=7).map(np.array)


def assert_same_pose(one, other):
    np.testing.assert_allclose(one.position, other.position, atol=3e-4)
    assert (one.rotation * other.rotation.inv()).magnitude() < 3e-3


@settings(max_examples=40, deadline=None, derandomize=True)
@given(share=shares, nudge=st.integers(0, 2**32 - 1))
def test_inverse_kinematics_inverts_forward_kinematics(share, nudge):
    joints = panda.JOINT_LOW + share * (panda.JOINT_HIGH - panda.JOINT_LOW)
    target = ARM.tip(joints)
    start = joints + np.random.default_rng(nudge).uniform(-0.05, 0.05, 7)
    found = ARM.solve(target, start, iterations=200)
    assert found is not None
    assert_same_pose(ARM.tip(found), target)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(x=st.floats(0.1, 0.45), y=st.floats(-0.3, 0.3), z=st.floats(0.8, 1.1), yaw=st.floats(-1.5, 1.5))
def test_poses_over_the_table_have_solutions_within_the_joint_limits(x, y, z, yaw):
    target = Pose(np.array([x, y, z]), facing_down(yaw))
    start = np.array(panda.START_GUESS)
    solutions = ARM.solutions(target, start)
    assert solutions
    for joints in solutions:
        assert_same_pose(ARM.tip(joints), target)
        assert (joints > panda.JOINT_LOW).all() and (joints < panda.JOINT_HIGH).all()
    distances = [np.abs(joints - start).max() for joints in solutions]
    assert distances == sorted(distances)


@pytest.mark.parametrize("point", [(1.5, 0.0, 1.0), (0.77, -0.65, 1.74), (-0.27, 0.0, 3.0)])
def test_a_pose_out_of_reach_has_none(point):
    target = Pose(np.array(point), facing_down(0.0))
    assert ARM.solve(target, np.array(panda.START_GUESS)) is None
    assert ARM.solutions(target, np.array(panda.START_GUESS)) == []


def test_half_a_turn_is_an_error_that_the_search_sees():
    start = np.array(panda.START_GUESS)
    tip = ARM.tip(start)
    target = Pose(tip.position, tip.rotation * Rotation.from_euler("z", np.pi))
    (nearest, *_) = ARM.solutions(target, start)
    assert_same_pose(ARM.tip(nearest), target)
