"""Turned rectangles on the table: what objects and the hand take up, seen from above."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def rectangle(centre: Float[np.ndarray, "2"], half: Sequence[float], yaw: float) -> Float[np.ndarray, "4 2"]:
    """Corners of a rectangle, in order.

    Args:
        centre: Its middle, m.
        half: Half its sides, m.
        yaw: Heading of its first side, rad.
    """
    along = np.array([np.cos(yaw), np.sin(yaw)]) * half[0]
    across = np.array([-np.sin(yaw), np.cos(yaw)]) * half[1]
    return np.array(
        [centre + along + across, centre - along + across, centre - along - across, centre + along - across]
    )


def strip(start: Float[np.ndarray, "2"], end: Float[np.ndarray, "2"], half_width: float) -> Float[np.ndarray, "4 2"]:
    """Corners of the rectangle along the way between two points, m."""
    way = end - start
    return rectangle(start + way / 2, (float(np.hypot(*way)) / 2, half_width), float(np.arctan2(way[1], way[0])))


def apart(first: Float[np.ndarray, "4 2"], second: Float[np.ndarray, "4 2"]) -> bool:
    """Whether a side of one of two rectangles separates them."""
    for corners in (first, second):
        for axis in (corners[0] - corners[1], corners[1] - corners[2]):
            a, b = first @ axis, second @ axis
            if a.max() < b.min() or b.max() < a.min():
                return True
    return False
