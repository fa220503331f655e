"""Actions and proprioception: numbers only, no simulator."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from envs.maniskill.control import JOINT_HIGH, JOINT_LOW, DeltaControl, JointControl
from envs.maniskill.observe import arm_entries, names, opening
from model.actions import EMBODIMENTS


@pytest.mark.parametrize("arms", [1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_joint_commands_go_there_and_back(arms, seed):
    control = JointControl(arms)
    native = np.random.default_rng(seed).uniform(control.low, control.high)
    action = EMBODIMENTS[control.convention.embodiment].encode(native)
    command = control.command(action)
    assert command.shape == (arms, 8)
    assert np.allclose(command[:, :7].reshape(-1), native.reshape(arms, 8)[:, :7].reshape(-1), atol=1e-6)
    assert np.allclose(command[:, 7], 2 * native.reshape(arms, 8)[:, 7] - 1, atol=1e-6)
    assert np.allclose(control.from_joints(command), action, atol=1e-6)
    assert np.allclose(control.hold(), action, atol=1e-6)  # the last command


def test_joint_commands_out_of_bounds_are_clipped():
    control = JointControl(1)
    command = control.command(EMBODIMENTS["joints"].encode([9.0] * 7 + [3.0]))
    assert np.allclose(command[0], [*JOINT_HIGH, 1.0])
    command = control.command(EMBODIMENTS["joints"].encode([-9.0] * 7 + [-3.0]))
    assert np.allclose(command[0], [*JOINT_LOW, -1.0])


def test_before_any_command_it_holds_where_it_starts():
    control = JointControl(2)
    joints = np.arange(14).reshape(2, 7) / 20
    control.start(joints, np.array([1.0, 0.5]))
    native = EMBODIMENTS["bimanual_joints"].decode(control.hold())
    assert np.allclose(native, [*joints[0], 1.0, *joints[1], 0.5])


def test_displacements_in_metres_and_radians():
    control = DeltaControl()
    control.start(np.zeros((1, 7)), np.array([1.0]))
    command = control.command(EMBODIMENTS["delta_eef"].encode([0.05, -0.1, 0.02, 0.03, -0.1, 0.0, 0.0, 0.0]))
    # ManiSkill's unit is 0.1 m and 0.1 rad, its rotations have the opposite sign.
    assert np.allclose(command, [[0.5, -1.0, 0.2, -0.3, 1.0, 0.0, 1.0]], atol=1e-6)


def test_the_gripper_of_displacements_changes_its_opening():
    control = DeltaControl()
    control.start(np.zeros((1, 7)), np.array([1.0]))
    openings = []
    for change in (-0.5, -2.0, 0.0, 0.25, 1.0):
        openings.append(float(control.command(EMBODIMENTS["delta_eef"].encode([0] * 6 + [change, 0]))[0, 6]))
    assert np.allclose(openings, [0.0, -1.0, -1.0, -0.5, 1.0])
    assert not np.any(control.hold())
    with pytest.raises(NotImplementedError):
        control.from_joints(np.zeros((1, 8)))


def test_proprioception_has_a_name_for_every_entry():
    tip = np.array([0.4, 0.0, 0.2, *np.roll(Rotation.from_euler("y", 170, degrees=True).as_quat(), 1)])
    qpos = np.array([0.1, 0.2, 0.3, -1.0, 0.5, 1.5, 0.7, 0.02, 0.04])
    entries = dict(zip(names(1), arm_entries(qpos, tip), strict=True))
    assert entries["gripper_open"] == pytest.approx(0.75) and opening(qpos) == pytest.approx(0.75)
    assert (entries["finger_left"], entries["finger_right"]) == pytest.approx((0.02, 0.04))
    rotation = Rotation.from_quat([entries[f"eef_q{axis}"] for axis in "xyzw"])
    assert rotation.approx_equal(Rotation.from_euler("y", 170, degrees=True), atol=1e-5)
    assert entries["joint_6"] == pytest.approx(0.7)
    assert len(names(2)) == 34 and names(2)[17] == "right_gripper_open"


def test_both_signs_of_a_quaternion_are_one_observation():
    tip = np.array([0.4, 0.0, 0.2, 0.1, -0.9, 0.3, 0.3])
    assert np.array_equal(arm_entries(np.zeros(9), tip), arm_entries(np.zeros(9), tip * [1, 1, 1, -1, -1, -1, -1]))
