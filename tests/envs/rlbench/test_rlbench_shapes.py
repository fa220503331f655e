"""Procedural meshes: closed, turned outwards, of the size asked for."""

import re

import numpy as np
import pytest
import trimesh

from envs.rlbench.shapes import lathe, prism, wall

STAR = [((0.02, 0.009)[k % 2] * np.cos(k * np.pi / 5), (0.02, 0.009)[k % 2] * np.sin(k * np.pi / 5)) for k in range(10)]


def solid(xml):
    """The mesh that an asset's text describes."""
    numbers = {name: np.array(text.split(), dtype=float) for name, text in re.findall(r'(vertex|face)="([^"]*)"', xml)}
    return trimesh.Trimesh(numbers["vertex"].reshape(-1, 3), numbers["face"].reshape(-1, 3).astype(int))


def test_a_lathe_turns_its_profile():
    cone = solid(lathe("cone", [(0, 0), (0.03, 0), (0, 0.1)], segments=60))
    assert cone.is_watertight and cone.is_winding_consistent
    assert cone.volume == pytest.approx(np.pi * 0.03**2 * 0.1 / 3, rel=0.01)  # positive: faces look outwards


def test_a_vessel_is_hollow():
    cup = solid(lathe("cup", [(0, 0), (0.03, 0), (0.04, 0.1), (0.037, 0.1), (0.027, 0.003), (0, 0.003)], segments=40))
    assert cup.is_watertight and 0 < cup.volume < 0.3 * cup.convex_hull.volume


def test_a_prism_keeps_its_dents():
    star = solid(prism("star", STAR, -0.01, 0.01))
    area = 0.5 * 10 * 0.02 * 0.009 * np.sin(np.pi / 5)
    assert star.is_watertight and star.volume == pytest.approx(area * 0.02, rel=1e-3)
    np.testing.assert_allclose(star.bounds[:, 2], (-0.01, 0.01))


def test_a_wrong_outline_is_refused():
    with pytest.raises(ValueError, match="clockwise"):
        prism("star", STAR[::-1], 0, 0.01)


def test_a_wall_stays_within_its_circle():
    boxes = re.findall(r'size="([^"]*)" pos="([^"]*)" euler="([^"]*)" class="object"', wall(0.04, 0.004, 0.01, 0.09,
                       'class="object"', count=12))  # fmt: skip
    assert len(boxes) == 12
    for size, position, angles in boxes:
        (thick, _, tall), place, angle = (np.array(text.split(), dtype=float) for text in (size, position, angles))
        assert np.hypot(*place[:2]) + thick == pytest.approx(0.04, abs=1e-4)
        assert (place[2] - tall, place[2] + tall) == pytest.approx((0.01, 0.09))
        assert np.arctan2(place[1], place[0]) % (2 * np.pi) == pytest.approx(angle[2], abs=1e-3)
