"""The calibration that task facts promise, against pictures that MuJoCo renders."""

import numpy as np
import pytest
import torch

import envs.rlbench  # noqa: F401  chooses the off-screen back end, before MuJoCo is imported
from envs.spec import Episode
from envs.suite import load_suite
from model.cameras import TIP_POSE, CameraModel, project

mujoco = pytest.importorskip("mujoco", reason="the sim-mujoco extra is not installed")

pytestmark = pytest.mark.sim
SIZE = 128
PIXEL = 2 / SIZE  # in image coordinates
MARKER = 0.012  # m


@pytest.fixture(scope="module")
def env():
    made = load_suite("rlbench18").make("push_buttons")
    made.reset(Episode("rlbench18", "push_buttons", 0, 42))
    yield made
    made.close()


@pytest.fixture(scope="module")
def renderer(env):
    made = mujoco.Renderer(env._world.model, SIZE, SIZE)
    yield made
    made.close()


def marker_place(renderer, data, camera: str, point) -> np.ndarray | None:
    """Image coordinates of a small ball alone in the dark; None where the picture does not show it."""
    renderer.update_scene(data, camera)
    renderer.scene.ngeom = 1
    colour = np.array([1.0, 0.0, 1.0, 1.0], np.float32)
    ball, size = mujoco.mjtGeom.mjGEOM_SPHERE, np.full(3, MARKER)
    mujoco.mjv_initGeom(renderer.scene.geoms[0], ball, size, np.asarray(point), np.eye(3).ravel(), colour)
    renderer.scene.geoms[0].emission = 1.0
    rows, columns = np.nonzero(renderer.render().max(-1) > 60)
    if len(rows) == 0:
        return None
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5]) * 2 / SIZE - 1


def test_calibrations_agree_with_rendered_pictures(env, renderer):
    """From several arm postures: the wrist camera moves with the tip whose pose the observation reports."""
    cameras = load_suite("rlbench18").spec("push_buttons").cameras
    models = [CameraModel(c.fov, c.mount, c.position, c.quaternion) for c in cameras]
    assert [model.mount for model in models] == ["eef" if c.name == "wrist" else "world" for c in cameras]
    world, rng = env._world, np.random.default_rng(0)
    entries, start = [env.spec.proprioception.index(name) for name in TIP_POSE], world.data.qpos.copy()
    compared = dict.fromkeys((c.name for c in cameras), 0)
    for posture in range(3):
        world.data.qpos[:] = start
        world.data.qpos[world.arm_qpos] += 0.25 * posture * rng.uniform(-1, 1, 7)
        world.forward()
        tip = torch.from_numpy(env._observe()["proprioception"][entries])[None]
        for _ in range(8):
            point = rng.uniform([0.05, -0.3, 0.8], [0.45, 0.3, 1.3])
            image = project(models, tip, torch.from_numpy(point)[None].float())[0].numpy()
            for camera, expected in zip(cameras, image, strict=True):
                seen = marker_place(renderer, world.data, camera.name, point)
                if (np.abs(expected) < 0.9).all():
                    assert seen is not None and np.abs(seen - expected).max() < PIXEL, (camera.name, seen, expected)
                    compared[camera.name] += 1
                elif not (np.abs(expected) < 1.1).all():
                    assert seen is None, (camera.name, seen, expected)
    world.data.qpos[:] = start
    assert min(compared.values()) >= 3, compared


def test_a_wrong_calibration_would_be_noticed(env, renderer):
    world, point = env._world, np.array([0.3, 0.2, 0.9])
    world.forward()
    seen = marker_place(renderer, world.data, "front", point)
    front = next(c for c in env.spec.cameras if c.name == "front")
    for fov, position in ((front.fov + 5, front.position), (front.fov, tuple(np.add(front.position, [0, 0.03, 0])))):
        wrong = CameraModel(fov, "world", position, front.quaternion)
        image = project([wrong], torch.zeros(1, 7), torch.from_numpy(point)[None].float())[0, 0].numpy()
        assert np.abs(seen - image).max() > PIXEL
