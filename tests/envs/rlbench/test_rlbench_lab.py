"""The room against what was measured in RLBench."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs.rlbench import lab
from envs.rlbench.planner import PlanningError, check_target
from envs.rlbench.pose import Pose
from envs.rlbench.tasks import load

pytestmark = pytest.mark.sim

# Position (m), rotation with columns left, up, forward, focal length at 128 x 128 (pixels).
MEASURED = {
    "left_shoulder": (
        (-0.175, 0.200, 1.980),
        ((0.17365, 0.89254, 0.41620), (0.98481, -0.15738, -0.07339), (0, 0.42262, -0.90631)),
        175.8386,
    ),
    "right_shoulder": (
        (-0.175, -0.200, 1.980),
        ((-0.17365, 0.89254, 0.41620), (0.98481, 0.15738, 0.07339), (0, 0.42262, -0.90631)),
        175.8386,
    ),
    "overhead": (
        (-0.175, 0.000, 2.430),
        ((0, 0.90631, 0.42262), (1, 0, 0), (0, 0.42262, -0.90631)),
        175.8386,
    ),
    "front": (
        (1.350, 0.000, 1.580),
        ((0, -0.42262, -0.90631), (-1, 0, 0), (0, 0.90631, -0.42262)),
        175.8386,
    ),
    "wrist": (
        (0.305, -0.006, 1.573),
        ((0, 0.98800, 0.15444), (1, 0, 0), (0, 0.15444, -0.98800)),
        110.8512,
    ),
}
TIP = (0.27847, -0.00815, 1.47191)
TIP_QUATERNION = (0, 0.99267, 0, 0.12087)


@pytest.fixture
def world(scene):
    return scene("turn_tap")._world


def angle(one, other):
    return np.rad2deg((one * other.inv()).magnitude())


def test_the_suite_observes_the_five_cameras(rlbench):
    assert set(rlbench.cameras) == set(MEASURED) and rlbench.image_size == 128


@pytest.mark.parametrize("name", MEASURED)
def test_cameras_stand_where_rlbench_has_them(world, name):
    position, rotation, focal = MEASURED[name]
    camera = world.data.camera(name)
    np.testing.assert_allclose(camera.xpos, position, atol=1e-3)
    # MuJoCo's camera axes are right, up, backward.
    np.testing.assert_allclose(camera.xmat.reshape(3, 3), np.array(rotation) * (-1, 1, -1), atol=1e-3)
    fov = float(world.model.camera(name).fovy[0])
    assert 64 / np.tan(np.deg2rad(fov / 2)) == pytest.approx(focal, abs=1e-3)


@pytest.mark.parametrize("name", MEASURED)
def test_the_declared_calibration_is_that_of_the_compiled_camera(make_env, world, name):
    (facts,) = (camera for camera in make_env("turn_tap").spec.cameras if camera.name == name)
    pose = Pose(np.array(facts.position), Rotation.from_quat(facts.quaternion))
    assert facts.mount == ("eef" if name == "wrist" else "world")
    if name == "wrist":
        pose = world.tip * pose
    camera = world.data.camera(name)
    np.testing.assert_allclose(pose.position, camera.xpos, atol=1e-5)
    np.testing.assert_allclose(pose.rotation.as_matrix(), camera.xmat.reshape(3, 3), atol=1e-5)
    assert (facts.height, facts.width, facts.fov) == (128, 128, float(world.model.camera(name).fovy[0]))


def test_the_wrist_camera_moves_with_the_hand(world):
    before = world.data.camera("wrist").xpos.copy()
    world.data.qpos[world.arm_qpos[0]] += 0.3
    world.forward()
    assert np.linalg.norm(world.data.camera("wrist").xpos - before) > 0.1


@pytest.mark.parametrize("task", ["open_drawer", "push_buttons", "reach_and_drag"])
def test_the_arm_starts_in_the_measured_pose_with_an_open_gripper(scene, task):
    world = scene(task)._world
    np.testing.assert_allclose(world.tip.position, TIP, atol=1e-3)
    assert angle(world.tip.rotation, Rotation.from_quat(TIP_QUATERNION)) < 0.1
    np.testing.assert_allclose(world.fingers, 0.04, atol=5e-4)


def test_targets_are_accepted_in_the_workspace_enlarged_by_20_cm_and_nowhere_else():
    low = (-0.075 - 0.2, -0.455 - 0.2, 0.752)
    high = (0.575 + 0.2, 0.455 + 0.2, 1.752)
    middle = (np.array(low) + high) / 2
    for axis in range(3):
        for bound, outward in ((low, -1), (high, 1)):
            point = middle.copy()
            point[axis] = bound[axis] - outward * 1e-3
            check_target(Pose(point, Rotation.identity()))
            point[axis] = bound[axis] + outward * 1e-3
            with pytest.raises(PlanningError, match="outside the workspace"):
                check_target(Pose(point, Rotation.identity()))


def test_task_roots_are_placed_with_their_whole_extent_in_the_workspace(rlbench, scene):
    for name in rlbench.tasks:
        task = load(name)
        x0, x1, y0, y1 = task.extent
        corners = np.array([(x, y, 0) for x in (x0, x1) for y in (y0, y1)])
        for seed in range(5):
            root = scene(name, seed=seed)._world.pose("root")
            placed = root.position + root.rotation.apply(corners)
            assert (placed[:, :2] > (-0.0751, -0.4551)).all() and (placed[:, :2] < (0.5751, 0.4551)).all(), name
            assert task.yaw_bounds[0] <= root.yaw <= task.yaw_bounds[1], name
            assert root.position[2] == pytest.approx(0.752) == lab.WORKSPACE_Z
