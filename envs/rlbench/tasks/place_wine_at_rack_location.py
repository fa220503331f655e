"""Lay the wine bottle into the named place of a rack."""

from collections.abc import Sequence

import numpy as np

from envs.rlbench.pose import Pose
from envs.rlbench.shapes import lathe, prism
from envs.rlbench.task import Keyframe, Task, approach, raised
from envs.rlbench.world import World

_PLACES = {"middle": 0.051, "left": 0.170, "right": -0.065}  # m along x; bottles lie along y
_BOTTLE = (0.099, -0.284, 0.121)  # m, root frame
_RADIUS, _HALF = 0.030, 0.123  # m, of the bottle
_GRASP = 0.100  # m from the bottle's centre up the neck
_RACK = (-0.120, 0.220, 0.154, 0.396)  # m: x low, x high, y low, y high
_BOARDS = (0.250, 0.350)  # y of the two boards that carry a bottle, m
_CRADLE_Z, _CRADLE_RADIUS = 0.1315, 0.0325  # m: each hollow is a half circle in a board's upper edge
_AXIS_Z = _CRADLE_Z - _CRADLE_RADIUS + _RADIUS  # m: axis of a bottle that lies in its place
_BEFORE = 0.09  # m from the grasp, where the hand waits
_MOUTH_Y, _LAID_Y = -0.050, 0.155  # m: the neck before the rack and in place
_WOOD, _DARK = ".62 .40 .22 1", ".45 .28 .15 1"


class PlaceWineAtRackLocation(Task):
    """Variation: 0 middle, 1 left, 2 right, as seen from the far side of the rack."""

    name = "place_wine_at_rack_location"
    variations = 3
    extent = (-0.120, 0.220, -0.314, 0.407)
    yaw_bounds = (-np.pi / 4, np.pi / 4)
    graspable = ("bottle",)

    def assets(self) -> str:
        """The bottle's glass and foil, and a board with three hollows."""
        r, half = _RADIUS, _HALF
        shoulder = [(r, 0.028), (0.0285, 0.040), (0.022, 0.052), (0.0155, 0.062), (0.0125, 0.072)]
        glass = [(0, -half), (r - 0.003, -half), (r, 0.003 - half), *shoulder, (0.0125, 0.080), (0, 0.080)]
        foil = [(0, 0.079), (0.0132, 0.079), (0.0130, 0.111), (0.0148, 0.112), (0.0148, half), (0, half)]
        edge = [(_RACK[1] - 0.01, 0.0785), (_RACK[1] - 0.01, _CRADLE_Z)]
        for x in sorted(_PLACES.values(), reverse=True):
            for angle in np.linspace(0, -np.pi, 9):
                edge.append((x + _CRADLE_RADIUS * np.cos(angle), _CRADLE_Z + _CRADLE_RADIUS * np.sin(angle)))
        edge += [(_RACK[0] + 0.01, _CRADLE_Z), (_RACK[0] + 0.01, 0.0785)]
        return lathe("glass", glass, 20) + lathe("foil", foil, 16) + prism("board", edge, -0.009, 0.009)

    def bodies(self) -> str:
        """The rack of two storeys, and the bottle."""
        places = "".join(
            f'<geom name="place_{name}" class="sensor" type="box" size=".02 .1 .02" pos="{x} .275 .113"/>'
            for name, x in _PLACES.items()
        )
        return f"""
        <body name="root">{_rack()}{places}</body>
        <body name="bottle"><freejoint/>
          <geom class="visual" type="mesh" mesh="glass" rgba=".07 .25 .12 1"/>
          <geom class="visual" type="mesh" mesh="foil" rgba=".55 .07 .12 1"/>
          <geom class="visual" type="cylinder" size=".0306 .036" pos="0 0 -.040" rgba=".95 .91 .80 1"/>
          <geom class="visual" type="cylinder" size=".0312 .006" pos="0 0 -.052" rgba=".55 .07 .12 1"/>
          <geom class="object" type="cylinder" size="{_RADIUS} .0775" pos="0 0 -.0455" mass=".46" group="3"/>
          <geom class="object" type="cylinder" size=".021 .010" pos="0 0 .042" mass=".04" group="3"/>
          <geom class="object" type="cylinder" size=".013 .036" pos="0 0 .087" mass=".04" group="3"/>
        </body>"""

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """The bottle stands at its place before the rack; nothing else is random."""
        self._place = tuple(_PLACES)[variation]
        root = world.pose("root")
        world.place("bottle", Pose(root.at(*_BOTTLE), root.rotation))

    def success(self, world: World) -> bool:
        """The bottle lies in the named place and the gripper has let go of it."""
        return world.released and world.in_sensor("bottle", f"place_{self._place}")

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the place."""
        place = tuple(_PLACES)[variation]
        return (
            f"lay the wine bottle in the {place} place of the rack",
            f"put the bottle of wine down on the {place} part of the wine rack",
            f"slide the wine bottle into the {place} slot of the rack and let go",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Grasps the neck obliquely from above, tips the bottle over, moves it over its place foot first, lowers it."""
        root, bottle = world.pose("root"), world.pose("bottle")
        slant = np.sqrt(0.5)
        x_axis, y_axis, z_axis = root.rotation.as_matrix().T
        # The hand points at the neck from 45 degrees above the table: first along x, then, with the bottle, along y.
        upright = approach(slant * (x_axis - z_axis), y_axis)
        laid = approach(slant * (y_axis - z_axis), x_axis)
        grasp = bottle.at(0, 0, _GRASP)
        before = grasp - _BEFORE * upright.apply([0.0, 0.0, 1.0])
        x = _PLACES[self._place]
        return [
            Keyframe(Pose(before, upright), True, linear=True),
            Keyframe(Pose(grasp, upright), False, linear=True),
            Keyframe(Pose(raised(grasp, 0.06), upright), False),
            Keyframe(Pose(root.at(x, _MOUTH_Y, 0.22), laid), False, linear=True),
            Keyframe(Pose(root.at(x, _LAID_Y, 0.174), laid), False, linear=True),
            Keyframe(Pose(root.at(x, _LAID_Y, _AXIS_Z + 0.003), laid), True, linear=True),
        ]


def _rack() -> str:
    """Two boards a storey between two side frames; the upper boards carry a bottle on three faces a hollow."""
    x0, x1, y0, y1 = _RACK
    xml = ""
    for y in _BOARDS:
        for drop, color in ((0.0, _WOOD), (0.071, _DARK)):
            xml += (
                f'<geom class="visual" type="mesh" mesh="board" pos="0 {y} {-drop:.4f}" euler="1.5708 0 0" '
                f'rgba="{color}"/>'
            )
        for x in _PLACES.values():
            for angle in (-0.8, 0.0, 0.8):
                depth = _RADIUS + 0.006
                xml += (
                    f'<geom class="static" type="box" size=".012 .009 .006" euler="0 {angle} 0" group="3" '
                    f'pos="{x - depth * np.sin(angle):.5f} {y} {_AXIS_Z - depth * np.cos(angle):.5f}"/>'
                )
        xml += (
            f'<geom class="static" type="box" size="{(x1 - x0) / 2 - 0.01} .009 .006" group="3" '
            f'pos="{(x0 + x1) / 2} {y} .0865"/>'
        )
    for x in (x0 + 0.005, x1 - 0.005):
        for z in (0.036, 0.116):
            xml += (
                f'<geom class="static" type="box" size=".005 {(y1 - y0) / 2} .012" pos="{x} {(y0 + y1) / 2} {z}" '
                f'rgba="{_DARK}"/>'
            )
        for y in (y0 + 0.012, y1 - 0.012):
            xml += f'<geom class="static" type="box" size=".0055 .008 .067" pos="{x} {y} .0655" rgba="{_DARK}"/>'
    return xml
