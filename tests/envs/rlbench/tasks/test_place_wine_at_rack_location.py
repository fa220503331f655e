"""When the bottle counts as laid in the named place of the rack."""

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from scipy.spatial.transform import Rotation

pytestmark = pytest.mark.sim

TASK = "place_wine_at_rack_location"
PLACES = {"middle": 0.051, "left": 0.170, "right": -0.065}  # m along the root's x
Y, Z = 0.255, 0.129  # m: the bottle's middle and axis when it lies in its place


def lay(env, x, y=Y, z=Z):
    """Puts the bottle's middle at a point of the root's frame, its foot towards +y; says whether it is solved."""
    world = env._world
    root = world.pose("root")
    world.place("bottle", type(root)(root.at(x, y, z), root.rotation * Rotation.from_euler("x", np.pi / 2)))
    world.forward()
    return env._check()


@pytest.mark.parametrize("variation", range(3))
def test_the_bottle_must_lie_in_the_named_place(scene, variation):
    env = scene(TASK, variation)
    assert [lay(env, x) for x in PLACES.values()] == [k == variation for k in range(3)]
    x = list(PLACES.values())[variation]
    # Sensor: 0.04 m wide, 0.2 m long to y = 0.375 m, z 0.093 to 0.133 m; bottle: radius 0.03 m, half length 0.123 m.
    for sign in (-1, 1):
        assert not lay(env, x + sign * 0.052)
        assert lay(env, x + sign * 0.048)
    assert not lay(env, x, y=0.175 - 0.123 - 0.002)
    assert lay(env, x, y=0.175 - 0.123 + 0.002)
    assert not lay(env, x, y=0.375 + 0.123 + 0.002)
    assert lay(env, x, y=0.375 + 0.123 - 0.002)
    assert not lay(env, x, z=0.133 + 0.030 + 0.002)
    assert lay(env, x, z=0.133 + 0.030 - 0.002)


def test_a_bottle_in_the_hand_does_not_count(scene):
    env = scene(TASK)
    env._world.attach("bottle")
    assert not lay(env, PLACES["middle"])
    env._world.release()
    assert lay(env, PLACES["middle"])


@pytest.mark.parametrize("variation", range(3))
def test_the_rack_holds_the_bottle(scene, variation):
    env = scene(TASK, variation)
    x = list(PLACES.values())[variation]
    lay(env, x, z=Z + 0.003)
    env._world.step(500)
    env._world.forward()
    assert env._check()
    root = env._world.pose("root")
    np.testing.assert_allclose((root.inverse() * env._world.pose("bottle")).position, [x, Y, Z], atol=0.003)


def test_the_bottle_stands_before_the_rack(scene):
    for seed in range(3):
        world = scene(TASK, seed=seed)._world
        root, bottle = world.pose("root"), world.pose("bottle")
        assert abs(root.yaw) <= np.pi / 4
        np.testing.assert_allclose((root.inverse() * bottle).position, [0.099, -0.284, 0.121], atol=0.002)
        np.testing.assert_allclose(bottle.rotation.apply([0, 0, 1]), [0, 0, 1], atol=1e-3)


def test_the_sentence_names_the_place(scene):
    for variation, place in enumerate(PLACES):
        env = scene(TASK, variation)
        offered = env._task.instructions(variation)
        assert env._instruction in offered and len(set(offered)) == 3
        for sentence in offered:
            assert [word for word in sentence.split() if word in PLACES] == [place]
        sensor = env._world.data.geom(f"place_{place}").xpos
        np.testing.assert_allclose(env._world.pose("root").inverse().at(*sensor)[0], PLACES[place], atol=1e-6)
