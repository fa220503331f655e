"""Hang one, two or three mugs on a mug tree by their handles."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from envs.rlbench.pose import Pose, yaw_pose
from envs.rlbench.shapes import lathe, mesh, wall
from envs.rlbench.task import Keyframe, Task, facing_down, half_turn, raised, scatter
from envs.rlbench.world import World

# Colours of mugs 0, 1 and 2: they tell which mugs count, since RLBench counts the first ones and not any.
_COLORS = {"red": ".88 .12 .10 1", "green": ".14 .62 .26 1", "blue": ".12 .34 .90 1"}
_WOOD, _PORCELAIN = ".42 .25 .13 1", ".93 .93 .91 1"
_NUMBERS = ("one mug", "two mugs", "three mugs")
_RADIUS, _HEIGHT = 0.033, 0.084  # m, of a mug
_HANDLE_RADIUS = 0.004  # m
# Middle of the handle's rod in the mug's x-z plane, m: with the wall it encloses 0.023 m by 0.040 m.
_HANDLE = ((0.031, 0.066), (0.050, 0.064), (0.060, 0.054), (0.060, 0.030), (0.050, 0.020), (0.031, 0.018))
_LOOP = np.array([0.0445, 0.0, 0.042])  # m: middle of the opening
_POLE = np.array([0.030, -0.149])  # m, root frame
# Middles of the spokes in the root frame, m. They rise outwards; the fourth carries a mug that nobody asks for.
_SPOKES = ((-0.020, -0.158, 0.210), (0.021, -0.099, 0.149), (0.080, -0.140, 0.210), (0.039, -0.199, 0.149))
_SPOKE_RADIUS, _SPOKE_HALF, _RISE = 0.0065, 0.0475, np.deg2rad(20.0)
_BOUNDARY = ((-0.263, 0.063), (0.213, 0.377))  # m: mugs stand in this rectangle of the root frame
_MIDDLE_X = 0.0155  # m: middle of a mug's bounding box from its axis
_GAP = 0.125  # m between the middles: no overlap, and room for a finger
# Spoke for mug 0, 1, 2 (the low one first, while the hand still fits under the others), the side of the spoke that the
# hand comes from (1: counter-clockwise of it, seen from above), and the angle by which it leans outwards.
_GOALS = ((1, 1, np.deg2rad(30.0)), (0, -1, np.deg2rad(15.0)), (2, 1, 0.0))
_DESCENT = np.deg2rad(60.0)  # of the hand's approach below the horizontal
_GRASP_Z = 0.064  # m above the mug's foot
_OUTSIDE, _INSIDE = 0.115, 0.025  # m from the middle of the spoke outwards, before and after sliding on


class PlaceCups(Task):
    """Variation v: mugs 0 to v, of the colours in `_COLORS`, belong on the holder, each on any of three spokes."""

    name = "place_cups"
    variations = 3
    extent = (-0.263, 0.213, -0.257, 0.377)
    yaw_bounds = (-np.pi / 2, np.pi / 2)
    graspable = ("mug0", "mug1", "mug2")

    def assets(self) -> str:
        """The mug's bowl and handle."""
        r, h = _RADIUS, _HEIGHT
        bowl = [(0, 0), (r - 0.003, 0), (r, 0.004), (r, h), (r - 0.004, h), (r - 0.004, 0.006), (0, 0.006)]
        return lathe("bowl", bowl, 20) + _handle_mesh("handle")

    def bodies(self) -> str:
        """The holder with a white mug on its fourth spoke, and the three mugs."""
        middle, _, outwards, across = _frame(3)
        x, y, z = raised(middle, _SPOKE_RADIUS + _HANDLE_RADIUS - _HANDLE[2][0]) - 0.037 * across
        spokes = "".join(_spoke(i) for i in range(len(_SPOKES)))
        mugs = "".join(
            f'<body name="{mug}"><freejoint/>{_mug(mug, "object", color)}</body>'
            for mug, color in zip(self.graspable, _COLORS.values(), strict=True)
        )
        return f"""
        <body name="root">
          <geom class="static" type="cylinder" size=".0765 .009" pos="{_POLE[0]} {_POLE[1]} .007" rgba="{_WOOD}"/>
          <geom class="static" type="cylinder" size=".009 .143" pos="{_POLE[0]} {_POLE[1]} .159" rgba="{_WOOD}"/>
          <geom class="static" type="sphere" size=".014" pos="{_POLE[0]} {_POLE[1]} .302" rgba="{_WOOD}"/>
          {spokes}
          <body pos="{x:.5f} {y:.5f} {z:.5f}" xyaxes="0 0 1 {outwards[0]:.5f} {outwards[1]:.5f} 0">
            {_mug("mug3", "static", _PORCELAIN)}
          </body>
        </body>{mugs}"""

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """Scatters the mugs, each turned at random, over their boundary."""
        self._count = variation + 1
        root = world.pose("root")
        margin = _MIDDLE_X + _RADIUS
        (x0, y0), (x1, y1) = _BOUNDARY
        points = scatter(rng, 3, (x0 + margin, y0 + margin), (x1 - margin, y1 - margin), _GAP)
        for mug, (x, y) in zip(self.graspable, points, strict=True):
            middle = yaw_pose(x, y, -0.0015, rng.uniform(-np.pi, np.pi))
            world.place(mug, root * middle * yaw_pose(-_MIDDLE_X, 0.0, 0.0))

    def success(self, world: World) -> bool:
        """Each wanted mug is on one of the three spokes, and the gripper has let go."""
        return world.released and all(
            any(world.in_sensor(mug, f"on_spoke{i}") for i in range(3)) for mug in self.graspable[: self._count]
        )

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the number and the colours: which mugs count is fixed."""
        *first, last = list(_COLORS)[: variation + 1]
        mugs = (", the ".join(["the " + first[0], *first[1:]]) + " and " if first else "") + f"the {last} mug"
        number = _NUMBERS[variation]
        return (
            f"place {number} on the holder: {mugs}",
            f"hang {number} up on the holder: {mugs}",
            f"slide {number} onto the mug tree: {mugs}",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """For each mug: grasp it across from above, tilt it, slide the handle's loop over a spoke, let go, back off."""
        root, keyframes = world.pose("root"), []
        for mug, (spoke, side, lean) in zip(self.graspable[: self._count], _GOALS, strict=False):
            pose = world.pose(mug)
            # Fingers open across the handle, which then lies at the hand's -x (sign 1) or +x.
            yaw = half_turn(pose.yaw)
            sign = 1.0 if np.cos(pose.yaw - yaw) > 0 else -1.0
            down, grasp = facing_down(yaw), pose.at(0, 0, _GRASP_Z)
            middle, along, outwards, across = _frame(spoke)
            forward = -side * np.cos(lean) * across - np.sin(lean) * outwards
            point = np.cos(_DESCENT) * forward - [0, 0, np.sin(_DESCENT)]
            handle = np.sin(_DESCENT) * forward + [0, 0, np.cos(_DESCENT)]
            tilted = root.rotation * Rotation.from_matrix(
                np.stack([-sign * handle, -sign * np.cross(point, handle), point], axis=1)
            )
            tip = middle - _LOOP[0] * handle - (_GRASP_Z - _LOOP[2]) * point
            outside, inside = root.at(*(tip + _OUTSIDE * along)), root.at(*(tip + _INSIDE * along))
            keyframes += [
                Keyframe(Pose(raised(grasp, 0.10), down), True),
                Keyframe(Pose(grasp, down), False, linear=True),
                Keyframe(Pose(raised(grasp, 0.20), down), False),
                Keyframe(Pose(outside, tilted), False),
                Keyframe(Pose(inside, tilted), True, linear=True),
                Keyframe(Pose(inside - 0.10 * root.rotation.apply(point), tilted), True, linear=True),
            ]
        return keyframes[:-1]


def _frame(spoke: int) -> tuple[Float[np.ndarray, "3"], ...]:
    """A spoke's middle, direction, its level direction outwards, and the level direction across; root frame."""
    middle = np.array(_SPOKES[spoke])
    outwards = np.array([*(middle[:2] - _POLE), 0.0])
    outwards /= np.linalg.norm(outwards)
    along = np.cos(_RISE) * outwards + [0, 0, np.sin(_RISE)]
    return middle, along, outwards, np.cross([0.0, 0.0, 1.0], outwards)


def _spoke(i: int) -> str:
    middle, along, _, across = _frame(i)
    upwards = np.cross(along, across)
    axes = " ".join(f"{value:.6f}" for value in (*across, *upwards))
    sensor = middle - 0.0025 * along
    return f"""
    <geom class="static" type="capsule" size="{_SPOKE_RADIUS} {_SPOKE_HALF - _SPOKE_RADIUS}" xyaxes="{axes}"
          pos="{middle[0]:.6f} {middle[1]:.6f} {middle[2]:.6f}" rgba="{_WOOD}"/>
    <geom name="on_spoke{i}" class="sensor" type="box" size=".007 .007 .0475" xyaxes="{axes}"
          pos="{sensor[0]:.6f} {sensor[1]:.6f} {sensor[2]:.6f}"/>"""


def _mug(name: str, kind: str, color: str) -> str:
    """A mug about the z axis, its foot at the origin, its handle along x."""
    looks = "".join(
        f'<geom name="{name}_{part}" class="visual" type="mesh" mesh="{part}" rgba="{color}"/>'
        for part in ("bowl", "handle")
    )
    # The walls end above the foot, so that the mug stands on one flat box.
    foot = f'<geom class="{kind}" type="box" size=".022 .022 .003" pos="0 0 .003" mass=".3" group="3"/>'
    walls = wall(_RADIUS, 0.004, 0.003, _HEIGHT, f'class="{kind}" mass=".05" group="3"', count=12)
    handle = "".join(
        f'<geom class="{kind}" type="capsule" size="{_HANDLE_RADIUS}" fromto="{x} 0 {z} {u} 0 {w}" mass=".02" '
        f'group="3"/>'
        for (x, z), (u, w) in pairwise(_HANDLE)
    )
    return looks + foot + walls + handle


def _handle_mesh(name: str, sides: int = 8) -> str:
    """The handle's rod as a bent tube; at a bend its ring lies in the plane that halves the angle."""
    points = np.array(_HANDLE)
    chords = np.diff(points, axis=0)
    normals = np.column_stack([chords[:, 1], -chords[:, 0]]) / np.linalg.norm(chords, axis=1, keepdims=True)
    bends = (normals[:-1] + normals[1:]) / (1 + (normals[:-1] * normals[1:]).sum(axis=1, keepdims=True))
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    reach, width = _HANDLE_RADIUS * np.cos(angles), _HANDLE_RADIUS * np.sin(angles)
    rings = [
        np.column_stack([x + reach * u, width, z + reach * w])
        for (x, z), (u, w) in zip(points, [normals[0], *bends, normals[-1]], strict=True)
    ]
    faces = []
    for a in range((len(points) - 1) * sides):
        b = a - sides + 1 if a % sides == sides - 1 else a + 1
        faces += [(a, b, b + sides), (a, b + sides, a + sides)]
    return mesh(name, np.concatenate(rings), np.array(faces))
