"""The shape sorter toy: five shapes, and a box whose lid has a hole for each.

What has dents or holes is assembled from convex pieces, upright prisms, so that it collides as it looks. Star and moon
are 1.4 times as wide as RLBench's, whose 27 and 30 mm are too few pixels to show their form; the holes moved by up to
10 mm to make room.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from envs.rlbench.shapes import prism

Outline = Float[np.ndarray, "n 2"]

HALF_WIDTH = 0.089  # m, of the box
LID_TOP = 0.130  # m above the root's frame
PLAY = 0.003  # m between a shape and the edge of its hole, all around
_LID = 0.008  # m: thickness
_WALL = 0.006  # m: thickness
_INNER = 0.0275  # m: the lid is laid out as a square about the star and four oblongs in a pinwheel around it
_LID_RGBA, _WALL_RGBA, _DARK_RGBA = ".84 .82 .78 1", ".42 .63 .80 1", ".10 .10 .13 1"


@dataclass(frozen=True, eq=False)
class Shape:
    """One of the shapes.

    Attributes:
        name: Name of its body.
        title: What a sentence calls it.
        outline: Corners in its own frame, m, counter-clockwise; the shape fits its hole when it is turned like the box.
        height: Of the prism, m.
        mass: kg.
        rgba: Colour.
        turns: Number of turns about the vertical under which it looks the same.
        hole: Place of its hole in the frame of the box, m.
        grasp: Point between the finger tips, m; the fingers open along y.
        cell: x low, x high, y low, y high of the lid's part that has this hole, frame of the box, m.
    """

    name: str
    title: str
    outline: Outline
    height: float
    mass: float
    rgba: str
    turns: int
    hole: tuple[float, float]
    grasp: tuple[float, float]
    cell: tuple[float, float, float, float]


def _star() -> Outline:
    angles = np.pi / 2 + np.pi / 5 * np.arange(10)
    radii = np.where(np.arange(10) % 2, 0.0100, 0.0200)
    return radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _moon(segments: int = 8) -> Outline:
    """A crescent with blunt horns, open towards +x: the outer arc, then the inner arc backwards."""
    horn, outer, inner, middle = np.deg2rad(82.0), 0.021, 0.0175, -0.009
    angles = np.linspace(horn, 2 * np.pi - horn, segments + 1)
    tip = inner * np.array([np.cos(horn), np.sin(horn)])
    # The inner arc runs through both tips and (middle, 0).
    centre = (tip @ tip - middle**2) / (2 * (tip[0] - middle))
    reach = np.arctan2(tip[1], tip[0] - centre)
    inside = np.linspace(2 * np.pi - reach, reach, segments + 1)
    return np.concatenate(
        [
            outer * np.stack([np.cos(angles), np.sin(angles)], axis=1),
            (centre - middle) * np.stack([np.cos(inside), np.sin(inside)], axis=1) + (centre, 0.0),
        ]
    )


def _regular(corners: int, radius: float, first: float) -> Outline:
    angles = first + 2 * np.pi / corners * np.arange(corners)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


_A, _L = _INNER, HALF_WIDTH
_CUBE, _PRISM = _regular(4, 0.021 * np.sqrt(2), np.pi / 4), _regular(3, 0.046 / np.sqrt(3), np.pi / 2)
_CYLINDER = _regular(16, 0.0225 / np.cos(np.pi / 16), 0.0)
# In the order of the variations.
SHAPES = (
    Shape("cube", "cube", _CUBE, 0.042, 1.0, ".10 .25 .85 1", 4, (-0.053, 0.058), (0, 0), (-_L, _A, _A, _L)),
    Shape(
        "cylinder",
        "cylinder",
        _CYLINDER,
        0.042,
        1.0,
        ".85 .08 .08 1",
        360,
        (-0.058, -0.048),
        (0, 0),
        (-_L, -_A, -_L, _A),
    ),
    Shape(
        "prism",
        "triangular prism",
        _PRISM,
        0.039,
        0.8,
        ".05 .55 .15 1",
        3,
        (0.058, 0.044),
        (0, 0.0066),
        (_A, _L, -_A, _L),
    ),
    Shape("star", "star", _star(), 0.017, 0.069, "1 .80 0 1", 5, (0.0, -0.0025), (0, 0.0019), (-_A, _A, -_A, _A)),
    Shape("moon", "moon", _moon(), 0.019, 0.602, ".55 .10 .70 1", 1, (0.050, -0.058), (0, 0), (-_A, _L, -_L, -_A)),
)


def assets() -> str:
    """MJCF meshes of the lid's pieces and of the shapes that are no primitives."""
    lid = "".join(prism(name, piece.tolist(), LID_TOP - _LID, LID_TOP) for name, piece in _lid())
    return lid + "".join(
        prism(name, piece.tolist(), -shape.height / 2, shape.height / 2)
        for shape in SHAPES
        for name, piece in _pieces(shape)
    )


def box(x: float, y: float) -> str:
    """MJCF of the box, upright in its parent.

    Args:
        x: Place of its middle, m.
        y: Likewise.
    """
    low, high = -0.002, LID_TOP - _LID
    middle, half, side = (low + high) / 2, (high - low) / 2, HALF_WIDTH - _WALL / 2
    short, lining = HALF_WIDTH - _WALL, HALF_WIDTH - _WALL - 0.0005
    walls = ""
    for sign in (-1, 1):
        walls += f"""
        <geom class="static" type="box" size="{HALF_WIDTH} {_WALL / 2} {half}" pos="0 {sign * side} {middle}"
              rgba="{_WALL_RGBA}"/>
        <geom class="static" type="box" size="{_WALL / 2} {short} {half}" pos="{sign * side} 0 {middle}"
              rgba="{_WALL_RGBA}"/>
        <geom class="visual" type="box" size="{short} .0005 {half}" pos="0 {sign * lining} {middle}"
              rgba="{_DARK_RGBA}"/>
        <geom class="visual" type="box" size=".0005 {short} {half}" pos="{sign * lining} 0 {middle}"
              rgba="{_DARK_RGBA}"/>"""
    lid = "".join(
        f'<geom class="static" type="mesh" mesh="{name}" friction=".4 .01 .001" rgba="{_LID_RGBA}"/>'
        for name, _ in _lid()
    )
    return f"""
    <body name="sorter" pos="{x} {y} 0">
      {walls}{lid}
      <geom class="static" type="box" size="{short} {short} .001" pos="0 0 -.001" rgba="{_DARK_RGBA}"/>
    </body>"""


def bodies() -> str:
    """MJCF of the five shapes as free bodies."""
    return "".join(f'<body name="{shape.name}"><freejoint/>{_geoms(shape)}</body>' for shape in SHAPES)


def _geoms(shape: Shape) -> str:
    look = f'class="object" rgba="{shape.rgba}" friction=".5 .02 .001"'
    half = shape.height / 2
    if shape.name == "cube":
        return f'<geom type="box" size="{half} {half} {half}" mass="{shape.mass}" {look}/>'
    if shape.name == "cylinder":
        return f'<geom type="cylinder" size=".0225 {half}" mass="{shape.mass}" {look}/>'
    pieces = list(_pieces(shape))
    mass = shape.mass / len(pieces)
    return "".join(f'<geom type="mesh" mesh="{name}" mass="{mass:.5f}" {look}/>' for name, _ in pieces)


def _pieces(shape: Shape) -> Iterator[tuple[str, Outline]]:
    """The convex pieces of a shape that is no primitive, and their mesh names."""
    outline = shape.outline
    if shape.name == "prism":
        yield "prism", outline
    elif shape.name == "star":
        for k in range(0, 10, 2):
            yield f"star{k}", np.stack([np.zeros(2), outline[k - 1], outline[k], outline[k + 1]])
    elif shape.name == "moon":
        count = len(outline) // 2
        outer, inner = outline[:count], outline[count:][::-1]
        for k in range(count - 1):
            yield f"moon{k}", np.stack([outer[k], outer[k + 1], inner[k + 1], inner[k]])


def _lid() -> Iterator[tuple[str, Outline]]:
    """The convex pieces of the lid, in the frame of the box, and their mesh names."""
    for shape in SHAPES:
        hole = grown(shape.outline, PLAY)
        pieces: list[Outline] = []
        if shape.name == "moon":  # the hole is a convex one with a tongue that reaches into it between the horns
            count = len(hole) // 2
            pieces = [hole[count:][::-1]]
            hole = np.concatenate([hole[: count + 1], hole[-1:]])
        pieces += _frame(hole, shape)
        for k, piece in enumerate(pieces):
            yield f"lid_{shape.name}{k}", piece + np.array(shape.hole)


def _frame(hole: Outline, shape: Shape) -> list[Outline]:
    """The part of a lid's cell around a hole, cut along rays from the hole's origin, which sees all its corners."""
    x0, x1, y0, y1 = np.array(shape.cell) - np.repeat(shape.hole, 2)
    corners = np.array([(x1, y1), (x0, y1), (x0, y0), (x1, y0)])
    high, low = np.array([x1, y1]), np.array([x0, y0])
    pieces = []
    for a, b in pairwise([*hole, hole[0]]):
        # Where the rays through the hole's corners leave the cell.
        ends = [p * np.min(np.where(p > 0, high, low) / np.where(p == 0, 1e-12, p)) for p in (a, b)]
        between = {np.arctan2(_cross(a, c), a @ c): c for c in corners if _cross(a, c) > 1e-9 and _cross(c, b) > 1e-9}
        pieces.append(np.stack([a, ends[0], *(between[angle] for angle in sorted(between)), ends[1], b]))
    return pieces


def grown(outline: Outline, margin: float) -> Outline:
    """An outline with every edge moved outwards.

    Args:
        outline: Corners, m, counter-clockwise.
        margin: How far, m.
    """
    edges = np.roll(outline, -1, axis=0) - outline
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1) / np.linalg.norm(edges, axis=1)[:, None]
    before = np.roll(normals, 1, axis=0)
    return outline + margin * (before + normals) / (1 + (before * normals).sum(axis=1))[:, None]


def _cross(a: np.ndarray, b: np.ndarray) -> float:
    return float(a[0] * b[1] - a[1] * b[0])
