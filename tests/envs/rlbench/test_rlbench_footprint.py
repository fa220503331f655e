"""Turned rectangles: corners, strips, and whether two keep apart."""

import numpy as np

from envs.rlbench.footprint import apart, rectangle, strip


def test_corners_follow_the_heading():
    corners = rectangle(np.array([1.0, 2.0]), (0.5, 0.25), np.pi / 2)
    np.testing.assert_allclose(sorted(map(tuple, corners)), [(0.75, 1.5), (0.75, 2.5), (1.25, 1.5), (1.25, 2.5)])


def test_a_strip_covers_the_way():
    corners = strip(np.array([0.0, 0.0]), np.array([3.0, 4.0]), 0.5)
    np.testing.assert_allclose(corners.mean(axis=0), (1.5, 2.0))
    np.testing.assert_allclose(sorted(np.linalg.norm(np.diff(corners, axis=0), axis=1)), [1.0, 5.0, 5.0])


def test_apart_by_a_millimetre_and_not():
    first = rectangle(np.zeros(2), (0.1, 0.05), 0.0)
    for gap in (-0.001, 0.001):
        assert apart(first, rectangle(np.array([0.2 + gap, 0.0]), (0.1, 0.05), 0.0)) == (gap > 0)
        corner = 0.1 + 0.05 * np.sqrt(2) + gap
        assert apart(first, rectangle(np.array([corner, 0.0]), (0.05, 0.05), np.pi / 4)) == (gap > 0)


def test_apart_though_their_bounding_boxes_overlap():
    first, second = (rectangle(np.array(centre), (1.0, 0.1), np.pi / 4) for centre in ((0.0, 0.0), (0.3, -0.3)))
    assert apart(first, second) and not apart(first, first)
