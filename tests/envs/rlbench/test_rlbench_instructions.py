"""Every sentence names the goal that the scene really has."""

import re
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs.rlbench.palette import COLOR_NAMES, PALETTE

pytestmark = pytest.mark.sim


def sentences(env, variation):
    """All sentences of a variation; the episode's own is among them."""
    offered = env._task.instructions(variation)
    assert env._instruction in offered and len(set(offered)) == len(offered) > 1
    return offered


def words(sentence, known):
    return [word for word in re.findall(r"\w+", sentence) if word in known]


def test_the_palettes_order():
    """Variations count through it: RLBench's order."""
    assert " ".join(COLOR_NAMES) == (
        "red maroon lime green blue navy yellow cyan magenta silver gray orange olive purple teal azure violet rose "
        "black white"
    )


@pytest.mark.parametrize("task", ["open_drawer", "put_item_in_drawer"])
def test_the_drawer(scene, task):
    for variation, drawer in enumerate(("bottom", "middle", "top")):
        for sentence in sentences(scene(task, variation), variation):
            assert set(words(sentence, ("bottom", "middle", "top"))) == {drawer}


def test_the_buttons_colours_in_order(scene, painted):
    goals = set()
    for variation in range(50):
        env = scene("push_buttons", variation)
        colours = [painted(env, f"base{i}") for i in range(3)]
        wanted = colours[: 1 + variation % 3]
        assert len(set(colours)) == 3, "two buttons of one colour"
        for sentence in sentences(env, variation):
            assert words(sentence, PALETTE) == wanted
        goals.add(tuple(wanted))
        assert colours[0] == "maroon"
        if variation % 3:
            assert colours[1] == ("green" if variation < 48 else "blue")
    # RLBench counts its variations through the ordered triples of colours: few differ in their first two.
    assert Counter(map(len, goals)) == {1: 1, 2: 2, 3: 16}


def test_the_squares_colour(scene, painted):
    named = set()
    for variation in range(20):
        env = scene("reach_and_drag", variation)
        colours = [painted(env, f"square{i}") for i in range(4)]
        assert colours == [COLOR_NAMES[(variation + shift) % 20] for shift in (0, 5, 6, 7)]
        for sentence in sentences(env, variation):
            assert words(sentence, PALETTE) == colours[:1]
        data = env._world.data
        np.testing.assert_allclose(data.geom("goal").xpos[:2], data.geom("square0").xpos[:2], atol=1e-9)
        named.add(colours[0])
    assert named == set(PALETTE)


def test_the_targets_colour(scene):
    for variation, colour in enumerate(("green", "blue", "pink", "yellow")):
        for sentence in sentences(scene("slide_block_to_color_target", variation), variation):
            assert words(sentence, ("green", "blue", "pink", "yellow", "red")) == [colour]


def test_the_taps_side(scene):
    for variation, side in enumerate(("left", "right")):
        for sentence in sentences(scene("turn_tap", variation), variation):
            assert words(sentence, ("left", "right")) == [side]
