"""Actions and proprioception: numbers only, no simulator."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from envs.maniskill.control import Arm, JointControl
from envs.maniskill.end_effector import DisplacementControl, PoseControl
from envs.maniskill.kinematics import JOINT_HIGH, JOINT_LOW, REST, reach, tool
from envs.maniskill.observe import arm_entries, names
from model.actions import EMBODIMENTS


def arm(joints=REST, fingers=(0.04, 0.04), base=(-0.615, 0.0, 0.0)):
    """An arm that is where its joints say."""
    frame = np.eye(4)
    frame[:3, 3] = base
    tip = frame @ tool(np.array(joints))
    return Arm(np.array(joints), np.array(fingers), tip, Rotation.from_matrix(tip[:3, :3]).as_quat(), frame)


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
    assert np.allclose(control.from_joints(command, ()), action, atol=1e-6)
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
    control.start([arm(joints[0]), arm(joints[1], (0.02, 0.02))])
    native = EMBODIMENTS["bimanual_joints"].decode(control.hold())
    assert np.allclose(native, [*joints[0], 1.0, *joints[1], 0.5])


def test_displacements_in_metres_and_radians():
    control = DisplacementControl()
    control.start([arm()])
    command = control.command(EMBODIMENTS["delta_eef"].encode([0.05, -0.1, 0.02, 0.03, -0.1, 0.0, 0.0, 0.0]))
    # ManiSkill's unit is 0.1 m and 0.1 rad, its rotations have the opposite sign.
    assert np.allclose(command, [[0.5, -1.0, 0.2, -0.3, 1.0, 0.0, 1.0]], atol=1e-6)


def test_the_gripper_of_displacements_changes_its_opening():
    control = DisplacementControl()
    control.start([arm()])
    openings = []
    for change in (-0.5, -2.0, 0.0, 0.25, 1.0):
        openings.append(float(control.command(EMBODIMENTS["delta_eef"].encode([0] * 6 + [change, 0]))[0, 6]))
    assert np.allclose(openings, [0.0, -1.0, -1.0, -0.5, 1.0])
    assert not np.any(control.hold())


def test_a_joint_command_as_a_displacement():
    control, now = DisplacementControl(), arm()
    control.start([now])
    there = np.add(REST, [0.05, 0.02, 0.0, 0.03, 0.0, 0.0, 0.02])
    native = EMBODIMENTS["delta_eef"].decode(control.from_joints(np.array([[*there, -1.0]]), [now]))
    assert np.allclose(native[:3], tool(there)[:3, 3] - tool(np.array(REST))[:3, 3], atol=1e-6)
    turned = Rotation.from_euler("XYZ", native[3:6]).as_matrix() @ tool(np.array(REST))[:3, :3]
    assert np.allclose(turned, tool(there)[:3, :3], atol=1e-6)
    assert native[6] == pytest.approx(-1.0)  # from open to closed
    far = EMBODIMENTS["delta_eef"].decode(control.from_joints(np.array([[0.5, *REST[1:], 1.0]]), [now]))
    assert np.abs(far[:3]).max() == pytest.approx(0.1) and np.linalg.norm(far[3:6]) == pytest.approx(0.1)


@pytest.mark.parametrize("seed", range(5))
def test_inverse_kinematics_gets_there_near_the_start(seed):
    rng = np.random.default_rng(seed)
    start = np.array(REST) + rng.uniform(-0.4, 0.4, 7)
    target = tool(start + rng.uniform(-0.08, 0.08, 7))
    found = reach(target, start)
    assert np.allclose(tool(found), target, atol=1.1e-3) and np.abs(found - start).max() < 0.6


def test_out_of_reach_there_are_no_joint_angles():
    target = tool(np.array(REST))
    target[0, 3] = 1.5
    assert reach(target, np.array(REST)) is None


def test_a_pose_of_the_end_effector_is_gone_towards_step_by_step():
    control, encode = PoseControl(), EMBODIMENTS["absolute_eef"].encode
    now = arm()
    control.start([now])
    place = now.tip[:3, 3] + [0.05, 0.22, -0.03]
    rotation = Rotation.from_rotvec([0.0, 0.0, 0.5]) * Rotation.from_matrix(now.tip[:3, :3])
    gone = []
    for _ in range(10):
        command = control.command(encode([*place, *rotation.as_quat(), 0.25]))
        gone.append(np.linalg.norm(tool(command[0, :7])[:3, 3] + now.base[:3, 3] - now.tip[:3, 3]))
    assert gone[0] == pytest.approx(0.03, abs=1e-3) and gone[1] == pytest.approx(0.06, abs=1e-3)
    reached = now.base @ tool(command[0, :7])
    assert np.allclose(reached[:3, 3], place, atol=1e-3) and command[0, 7] == pytest.approx(-0.5)
    assert (Rotation.from_matrix(reached[:3, :3]) * rotation.inv()).magnitude() < 2e-3
    held = EMBODIMENTS["absolute_eef"].decode(control.hold())
    assert np.allclose(held[:3], place, atol=1e-3) and held[7] == pytest.approx(0.25)


def test_a_pose_out_of_reach_leaves_the_arm_where_it_is():
    control = PoseControl()
    control.start([arm((0.0, 1.5, 0.0, -0.1, 0.0, 1.5, 0.0))])  # stretched out already
    before = control.hold()
    after = control.command(EMBODIMENTS["absolute_eef"].encode([3.0, 0.0, 0.5, 1.0, 0.0, 0.0, 0.0, 1.0]))
    assert np.allclose(control.hold(), before) and np.allclose(after[0, :2], [0.0, 1.5])


def test_a_pose_as_an_action_is_gone_to():
    control = PoseControl()
    control.start([arm()])
    there = arm(np.array(REST) + 0.02)
    command = control.command(control.going([(there.tip, 0.0)]))
    assert np.allclose(tool(command[0, :7]), tool(there.joints), atol=1.1e-3) and command[0, 7] == -1.0
    assert np.allclose(control.set_point(), there.tip, atol=1.1e-3)


def test_paced_joints_go_to_a_far_command_by_themselves():
    control = JointControl(2, speed=1.0)
    control.start([arm(), arm()])
    far = np.add(REST, [0.2, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0])
    action = EMBODIMENTS["bimanual_joints"].encode([*far, 0.0, *REST, 1.0])
    first = control.command(action)
    assert np.allclose(first[0, :7] - REST, np.array([0.05, 0, 0, 0.025, 0, 0, 0]), atol=1e-6)  # 1 rad/s at 20 Hz
    assert np.allclose(first[1, :7], REST, atol=1e-6) and first[:, 7].tolist() == [-1.0, 1.0]
    for _ in range(3):
        last = control.command(action)
    assert np.allclose(last[0, :7], far, atol=1e-6)
    assert np.allclose(control.hold(), action)  # not where the set point was on the way


def test_a_pose_has_one_posture_wherever_the_arm_is():
    poses, found = [(arm(np.array(REST) + 0.05).tip, 0.5)], []
    for start in (REST, np.array(REST) + 0.3):
        control = JointControl(1, speed=1.0)
        control.start([arm(start)])
        found.append(EMBODIMENTS["joints"].decode(control.going(poses)))
    assert np.array_equal(found[0], found[1]) and found[0][7] == 0.5
    assert np.allclose(tool(found[0][:7]), tool(np.array(REST) + 0.05), atol=1.1e-3)
    out_of_reach = arm().tip + np.array([[0, 0, 0, 2.0], [0] * 4, [0] * 4, [0] * 4])
    assert np.allclose(EMBODIMENTS["joints"].decode(control.going([(out_of_reach, 1.0)]))[:7], np.array(REST) + 0.3)


def test_proprioception_has_a_name_for_every_entry():
    joints = np.array([0.1, 0.2, 0.3, -1.0, 0.5, 1.5, 0.7])
    state = arm(joints, (0.02, 0.04), (0.0, -1.0, 0.0))
    entries = dict(zip(names(1), arm_entries(state), strict=True))
    assert entries["gripper_open"] == pytest.approx(0.75)
    assert (entries["finger_left"], entries["finger_right"]) == pytest.approx((0.02, 0.04))
    assert entries["eef_y"] == pytest.approx(tool(joints)[1, 3] - 1.0)  # in the world
    rotation = Rotation.from_quat([entries[f"eef_q{axis}"] for axis in "xyzw"])
    assert np.allclose(rotation.as_matrix(), tool(joints)[:3, :3], atol=1e-5)
    assert entries["joint_6"] == pytest.approx(0.7)
    assert len(names(2)) == 34 and names(2)[17] == "right_gripper_open"
