"""The named shape must be inside the box; each shape falls through its own hole, if turned rightly."""

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from scipy.spatial.transform import Rotation

from envs.rlbench.pose import Pose
from envs.rlbench.sorter import HALF_WIDTH, LID_TOP, PLAY, SHAPES, _lid, grown

pytestmark = pytest.mark.sim

TASK = "place_shape_in_shape_sorter"
BOX = (0.0, -0.15)  # m, root frame
NAMES = [shape.name for shape in SHAPES]
VARIATIONS = range(len(SHAPES))


def drop(env, shape, hole, yaw=0.0, shift=(0.0, 0.0)):
    """Lets a shape fall from just above a hole; returns whether that solves the task."""
    world = env._world
    x, y = np.add(BOX, hole) + shift
    at = Pose(np.array([x, y, LID_TOP + shape.height / 2 + 0.001]), Rotation.from_euler("z", yaw))
    world.place(shape.name, world.pose("root") * at)
    world.forward()
    assert not env._check()
    world.step(400)
    world.forward()
    return env._check()


def on_the_lid(env, shape):
    return env._world.pose(shape.name).position[2] > 0.752 + LID_TOP


def area(outline):
    x, y = outline.T
    return 0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1))


@pytest.mark.parametrize("variation", VARIATIONS)
def test_only_the_named_shape_counts(scene, put, variation):
    env = scene(TASK, variation)
    for k, name in enumerate(NAMES):
        if k != variation:
            assert not put(env, name, "root", *BOX, 0.02)
    assert put(env, NAMES[variation], "root", *BOX, 0.02)


def test_how_far_inside_the_cube_must_be(scene, put):
    env = scene(TASK, 0)
    x, y = BOX
    half = 0.021
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        for miss, inside in ((0.001, False), (-0.001, True)):
            reach = 0.08 + half + miss
            assert put(env, "cube", "root", x + dx * reach, y + dy * reach, 0.05) == inside
    assert put(env, "cube", "root", x, y, 0.099 + half - 0.001)
    assert not put(env, "cube", "root", x, y, 0.099 + half + 0.001)
    assert not put(env, "cube", "root", x, y, LID_TOP + half), "the cube lies on the lid"


def test_a_held_shape_counts(scene, put):
    env = scene(TASK, 3)
    env._world.attach("star")
    assert put(env, "star", "root", *BOX, 0.05) and not env._world.released


@pytest.mark.parametrize("variation", VARIATIONS)
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.0015, -0.0015), (-0.0015, 0.0015)])
def test_a_shape_falls_through_its_hole(scene, variation, shift):
    shape = SHAPES[variation]
    assert drop(scene(TASK, variation), shape, shape.hole, shift=shift)


@pytest.mark.parametrize("variation", VARIATIONS)
def test_a_shape_that_looks_the_same_after_a_turn_fits_after_it(scene, variation):
    shape = SHAPES[variation]
    assert drop(scene(TASK, variation), shape, shape.hole, yaw=2 * np.pi / shape.turns)


@pytest.mark.parametrize("variation", [k for k, shape in enumerate(SHAPES) if shape.name != "cylinder"])
def test_a_wrongly_turned_shape_stays_on_the_lid(scene, variation):
    shape, env = SHAPES[variation], scene(TASK, variation)
    assert not drop(env, shape, shape.hole, yaw=np.pi / shape.turns)
    assert on_the_lid(env, shape)


@pytest.mark.parametrize("variation, hole", [(0, "cylinder"), (0, "prism"), (1, "prism"), (2, "moon"), (4, "star")])
def test_a_shape_does_not_fit_anothers_hole(scene, variation, hole):
    shape, env = SHAPES[variation], scene(TASK, variation)
    assert not drop(env, shape, SHAPES[NAMES.index(hole)].hole)
    assert on_the_lid(env, shape)


def test_the_lid_covers_all_but_the_holes():
    pieces = [piece for _, piece in _lid()]
    holes = sum(area(grown(shape.outline, PLAY)) for shape in SHAPES)
    assert sum(map(area, pieces)) + holes == pytest.approx((2 * HALF_WIDTH) ** 2, rel=1e-9)
    for piece in pieces:
        edges = np.roll(piece, -1, axis=0) - piece
        turns = edges[:, 0] * np.roll(edges, -1, axis=0)[:, 1] - edges[:, 1] * np.roll(edges, -1, axis=0)[:, 0]
        assert (turns > -1e-12).all(), "a dent, over which it would collide"


def test_an_outline_grows_by_the_margin_on_every_side():
    square = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)], dtype=float)
    np.testing.assert_allclose(grown(square, 0.5), 1.5 * square)


def test_the_shapes_lie_apart_before_the_box(scene):
    turns = set()
    for seed in range(8):
        env = scene(TASK, seed % 5, seed)
        root = env._world.pose("root").inverse()
        poses = [root * env._world.pose(name) for name in NAMES]
        points = np.array([pose.position[:2] for pose in poses])
        gaps = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.eye(len(points))
        assert gaps.min() > 0.084
        assert (points[:, 1] > 0.049).all() and (np.abs(points[:, 0]) < 0.181).all() and (points[:, 1] < 0.246).all()
        for shape, pose in zip(SHAPES, poses, strict=True):
            assert abs(pose.position[2] - (shape.height / 2 - 0.002)) < 1e-3, f"{shape.name} does not lie flat"
        turns |= {round(pose.yaw, 3) for pose in poses}
    assert len(turns) == 8 * len(SHAPES)


def test_the_sentence_names_the_shape(scene):
    for variation, wanted in enumerate(("cube", "cylinder", "triangular prism", "star", "moon")):
        env = scene(TASK, variation)
        offered = env._task.instructions(variation)
        assert env._instruction in offered and len(set(offered)) == len(offered) > 1
        for sentence in offered:
            assert [shape.title for shape in SHAPES if shape.title in sentence] == [wanted]


def test_every_shape_has_a_colour_of_its_own(scene):
    model = scene(TASK)._world.model
    colours = {}
    for name in NAMES:
        body = model.body(name)
        geoms = range(body.geomadr[0], body.geomadr[0] + body.geomnum[0])
        colours[name] = {tuple(model.geom_rgba[geom][:3].round(2)) for geom in geoms}
        assert len(colours[name]) == 1
    assert len(set.union(*colours.values())) == len(NAMES)
