"""When mugs count as hung on the holder, and which of them the sentence asks for."""

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from scipy.spatial.transform import Rotation

pytestmark = pytest.mark.sim

MUGS = ("mug0", "mug1", "mug2")
TOUCH = 0.007 + 0.004  # m: half of the sensor's width and the handle's radius
RESTING = 0.0065 + 0.004  # m: the handle on the spoke itself


def hang(env, mug, spoke, across=RESTING, along=0.0):
    """Puts the upright outer rod of a mug's handle at an offset (m) from a sensor's middle; says whether it is solved.

    The handle points across the spoke, so that the spoke can pass through its loop.
    """
    world = env._world
    sensor = world.data.geom(f"on_spoke{spoke}")
    x, _, z = sensor.xmat.reshape(3, 3).T
    rotation = Rotation.from_matrix(np.stack([x, np.cross([0, 0, 1], x), [0, 0, 1]], axis=1))
    rod = sensor.xpos + across * x + along * z
    pose = world.pose(mug)
    world.place(mug, type(pose)(rod - rotation.apply([0.060, 0, 0.042]), rotation))
    world.forward()
    return env._check()


@pytest.mark.parametrize("spoke", range(3))
def test_the_handle_must_touch_a_spoke(scene, spoke):
    env = scene("place_cups", variation=0)
    for sign in (-1, 1):
        assert not hang(env, "mug0", spoke, across=sign * (TOUCH + 0.0005))
        assert hang(env, "mug0", spoke, across=sign * (TOUCH - 0.0005))


def test_the_handle_before_the_end_of_a_spoke_does_not_count(scene):
    env = scene("place_cups", variation=0)
    # The sensor ends 0.0475 m from its middle; the rod stands upright, the spoke rises by 20 degrees.
    end = 0.0475 + 0.004 / np.cos(np.deg2rad(20)) + 0.007 * np.tan(np.deg2rad(20))
    assert not hang(env, "mug0", 1, across=0.0, along=end + 0.001)
    assert hang(env, "mug0", 1, across=0.0, along=end - 0.001)


def test_the_fourth_spoke_does_not_count(scene):
    env = scene("place_cups", variation=0)
    assert not hang(env, "mug0", 3)
    assert hang(env, "mug0", 1)


def test_which_and_how_many_mugs_count(scene):
    env = scene("place_cups", variation=0)
    assert not hang(env, "mug1", 0) and not hang(env, "mug2", 1)
    assert hang(env, "mug0", 2)
    env = scene("place_cups", variation=1)
    assert not hang(env, "mug0", 2) and not hang(env, "mug2", 1)
    assert hang(env, "mug1", 0)
    env = scene("place_cups", variation=2)
    assert [hang(env, mug, spoke) for mug, spoke in zip(MUGS, (2, 0, 0), strict=True)] == [False, False, True]


def test_a_mug_in_the_hand_does_not_count(scene):
    env = scene("place_cups", variation=0)
    for mug in ("mug0", "mug1"):
        env._world.attach(mug)
        assert not hang(env, "mug0", 1)
        env._world.release()
    assert hang(env, "mug0", 1)


def touching(env, mug):
    world = env._world
    return any(
        mug in {world.model.body(world.model.geom_bodyid[geom]).name for geom in contact.geom}
        for contact in world.data.contact
    )


@pytest.mark.parametrize("spoke", range(3))
def test_the_loop_is_open_and_holds_the_mug(scene, spoke):
    env = scene("place_cups", variation=0)
    # The spoke passes through the middle of the loop, the mug's foot aside.
    assert not hang(env, "mug0", spoke, across=0.060 - 0.0445)
    assert not touching(env, "mug0")
    env._world.step(1000)
    env._world.forward()
    assert env._check() and touching(env, "mug0"), "the mug fell off the spoke"


def test_the_sentence_names_number_and_colours(scene):
    colors = ("red", "green", "blue")
    for variation, number in enumerate(("one", "two", "three")):
        env = scene("place_cups", variation)
        offered = env._task.instructions(variation)
        assert env._instruction in offered and len(set(offered)) == 3
        for sentence in offered:
            assert f" {number} mug" in sentence
            said = sentence.replace(",", " ").split()
            assert [word for word in said if word in colors] == list(colors[: variation + 1])
        for channel, mug in enumerate(MUGS):
            for part in ("bowl", "handle"):
                rgb = env._world.model.geom(f"{mug}_{part}").rgba[:3]
                assert rgb.argmax() == channel and np.sort(rgb)[-2] < 0.6 * rgb.max()


def test_mugs_stand_apart_in_their_boundary(scene):
    for seed in range(3):
        world = scene("place_cups", variation=2, seed=seed)._world
        root = world.pose("root")
        poses = [root.inverse() * world.pose(mug) for mug in MUGS]
        middles = np.array([pose.at(0.0155, 0, 0) for pose in poses])
        for k, pose in enumerate(poses):
            np.testing.assert_allclose(pose.rotation.apply([0, 0, 1]), [0, 0, 1], atol=1e-3)
            assert -0.003 < pose.position[2] < -0.001, "a mug stands on the table"
            assert (middles[k, :2] > [-0.263 + 0.048, 0.063 + 0.048]).all()
            assert (middles[k, :2] < [0.213 - 0.048, 0.377 - 0.048]).all()
            assert all(np.linalg.norm(middles[k] - other) > 0.12 for other in middles[:k])
