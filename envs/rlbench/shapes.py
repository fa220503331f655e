"""Procedural meshes as MJCF text: surfaces of revolution, extruded outlines; and walls of boxes to collide with.

A mesh is for the eye (class "visual"): MuJoCo collides with a mesh's convex hull, so a cup or a ring collides through
boxes (`wall`) or other primitives. Keep meshes small: every face is drawn by software in five cameras.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

Point = tuple[float, float]


def lathe(name: str, profile: Sequence[Point], segments: int = 20) -> str:
    """A surface of revolution about z.

    Args:
        name: Name of the mesh asset.
        profile: Radius and height (m) of points from the bottom to the top on the outside; a hollow vessel's profile
            goes on down the inside, since only outer faces are drawn. Start and end on the axis for a closed surface.
        segments: Faces around.
    """
    angles = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    vertices = np.concatenate([np.column_stack([radius * circle, np.full(segments, z)]) for radius, z in profile])
    faces = []
    for ring, ((low, _), (high, _)) in enumerate(pairwise(profile)):
        for k in range(segments):
            a, b = ring * segments + k, ring * segments + (k + 1) % segments
            c, d = a + segments, b + segments
            if low > 0:
                faces.append((a, b, d if high > 0 else c))
            if high > 0:
                faces.append((a, d, c))
    return mesh(name, vertices, np.array(faces))


def prism(name: str, outline: Sequence[Point], low: float, high: float) -> str:
    """An outline extruded along z; it may have dents, as a star's, but no holes.

    Args:
        name: Name of the mesh asset.
        outline: Corners in x and y, m, counter-clockwise.
        low: z of the lower face, m.
        high: z of the upper face, m.
    """
    points, count = np.asarray(outline, dtype=float), len(outline)
    vertices = np.concatenate([np.column_stack([points, np.full(count, z)]) for z in (low, high)])
    caps = _ears(points)
    top, bottom = caps + count, caps[:, ::-1]
    k = np.arange(count)
    following = (k + 1) % count
    sides = np.concatenate(
        [np.stack([k, following, following + count], axis=1), np.stack([k, following + count, k + count], axis=1)]
    )
    return mesh(name, vertices, np.concatenate([bottom, top, sides]))


def mesh(name: str, vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]) -> str:
    """A mesh asset from its vertices (m) and faces, each counter-clockwise as seen from outside.

    Unused vertices are dropped. The mesh has no mass of its own: give mass to the geoms that collide.
    """
    used, faces = np.unique(faces, return_inverse=True)
    numbers = " ".join(f"{value:.5g}" for value in vertices[used].ravel())
    corners = " ".join(map(str, faces.ravel()))
    return f'<mesh name="{name}" inertia="shell" vertex="{numbers}" face="{corners}"/>'


def wall(radius: float, thickness: float, low: float, high: float, attributes: str, count: int = 10) -> str:
    """Boxes in a circle about z: the collision shape of a hollow round vessel.

    Args:
        radius: Outer radius, m.
        thickness: Of the wall, m.
        low: z of the foot, m.
        high: z of the rim, m.
        attributes: MJCF attributes of each box: class, mass, colour, group.
        count: Number of boxes.
    """
    middle = radius - thickness / 2
    half_width = radius * np.tan(np.pi / count)
    boxes = []
    for angle in np.linspace(0, 2 * np.pi, count, endpoint=False):
        x, y = middle * np.cos(angle), middle * np.sin(angle)
        boxes.append(
            f'<geom type="box" size="{thickness / 2:.5f} {half_width:.5f} {(high - low) / 2:.5f}" '
            f'pos="{x:.5f} {y:.5f} {(low + high) / 2:.5f}" euler="0 0 {angle:.5f}" {attributes}/>'
        )
    return "".join(boxes)


def _ears(points: Float[np.ndarray, "n 2"]) -> Int[np.ndarray, "m 3"]:
    """Triangles of a simple polygon by ear clipping.

    Raises:
        ValueError: The outline crosses itself or runs clockwise.
    """
    left = list(range(len(points)))
    triangles = []
    while len(left) > 3:
        for k in range(len(left)):
            a, b, c = left[k - 1], left[k], left[(k + 1) % len(left)]
            others = points[[i for i in left if i not in (a, b, c)]]
            if _turn(points[a], points[b], points[c]) > 0 and not _inside(points[[a, b, c]], others).any():
                triangles.append((a, b, c))
                left.pop(k)
                break
        else:
            raise ValueError("the outline crosses itself or runs clockwise")
    return np.array([*triangles, tuple(left)])


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    (x, y), (u, v) = b - a, c - b
    return float(x * v - y * u)


def _inside(triangle: Float[np.ndarray, "3 2"], points: Float[np.ndarray, "n 2"]) -> np.ndarray:
    edges = np.roll(triangle, -1, axis=0) - triangle
    offsets = points[:, None] - triangle[None]
    return (edges[:, 0] * offsets[..., 1] - edges[:, 1] * offsets[..., 0] >= 0).all(axis=1)
