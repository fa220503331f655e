"""Take the bank notes from the top of the safe and lay them on one of its three shelves."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy.spatial.transform import Rotation

from envs.rlbench.pose import Pose, yaw_pose
from envs.rlbench.shapes import lathe
from envs.rlbench.task import Keyframe, Task, approach, raised
from envs.rlbench.textures import png
from envs.rlbench.world import World

_SHELVES = ("bottom", "middle", "top")
# The safe's frame: on the table under its middle, y out of the opening. Its place and yaw in the root's frame:
_SAFE, _SAFE_YAW = (-0.048, -0.250), np.deg2rad(20.0)
_SHELF_Z = (0.019, 0.164, 0.319)  # m: upper faces of the floor and the two boards
_SENSOR_Y = (0.009, 0.012, 0.012)
_TOP = 0.4935
_FRONT_Y = 0.118
_HINGE_X = 0.144
_LEAF = 0.286  # m: width of the door
_AJAR = np.deg2rad(2.5)  # the door stands open by half a turn less this
_MONEY = (0.125, 0.054, 0.032)  # m; a US note's proportions, so that the fingers span the width
_BOUNDARY = (0.283, 0.223)  # m: on top of the safe, about its middle
# The hand is held flat, fingers opening level, and points down by this much: it clears the safe's top and the table.
_PITCH = np.deg2rad(40.0)
_GRIP = 0.035  # m from the middle of the notes to the tip
_OVER = 0.019  # m: tip above what the notes lie on
_CLEAR = 0.014  # m: under the notes on their way in; they hang by up to 5 degrees when the hand brakes
_INSERTED_Y, _BEFORE_Y, _AWAY_Y = 0.0925, 0.228, 0.248  # m: tip in the safe's frame
_BODY, _PANEL, _LINING, _BOARD = ".27 .32 .39 1", ".34 .40 .48 1", ".50 .47 .42 1", ".70 .71 .72 1"


class PutMoneyInSafe(Task):
    """Variation: 0 bottom, 1 middle, 2 top shelf."""

    name = "put_money_in_safe"
    variations = 3
    extent = (-0.236, 0.318, -0.414, 0.047)
    yaw_bounds = (0.0, np.pi / 2)
    graspable = ("money",)

    def assets(self) -> str:
        """Print of the notes, ring of the door's handle."""
        rim = 0.006 * np.stack([np.cos(t := np.linspace(-np.pi, np.pi, 7)), np.sin(t)], axis=1) + (0.042, 0.0)
        return f"""
        <texture name="note" type="2d" file="note.png"/><material name="note" texture="note" specular=".1"/>
        <texture name="edges" type="2d" file="edges.png"/><material name="edges" texture="edges" specular=".1"/>
        {lathe("wheel", [(float(r), float(z)) for r, z in rim], 16)}"""

    def files(self) -> dict[str, bytes]:
        """Textures."""
        return {"note.png": png(_note()), "edges.png": png(_edges())}

    def bodies(self) -> str:
        """The safe with its open door, and the bundle of notes."""
        length, width, thickness = (size / 2 for size in _MONEY)
        sensors = "".join(
            f'<geom name="shelf{i}" class="sensor" type="box" size=".1 .1 .005" pos="0 {y} {z + 0.005}"/>'
            for i, (y, z) in enumerate(zip(_SENSOR_Y, _SHELF_Z, strict=True))
        )
        return f"""
        <body name="root">
          <body name="safe" pos="{_SAFE[0]} {_SAFE[1]} 0" euler="0 0 {_SAFE_YAW}">{_walls()}{_door()}{sensors}</body>
        </body>
        <body name="money"><freejoint/>
          <geom class="object" type="box" size="{length} {width} {thickness}" mass=".5" material="edges"/>
          <geom class="visual" type="box" size="{length - 0.001} {width - 0.001} .0005" pos="0 0 {thickness}"
                material="note"/>
          <geom class="visual" type="box" size=".011 {width + 0.0008} {thickness + 0.0012}" rgba=".96 .94 .86 1"/>
        </body>"""

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """The notes lie somewhere on the safe, turned by up to a quarter; the door is open."""
        self._shelf = variation
        turn = rng.uniform(0.0, np.pi / 2)
        length, width = _MONEY[0] / 2, _MONEY[1] / 2
        c, s = abs(np.cos(turn)), abs(np.sin(turn))
        room = np.array(_BOUNDARY) / 2 - (length * s + width * c, length * c + width * s)
        x, y = rng.uniform(-room, room)
        world.place("money", world.pose("safe") * yaw_pose(x, y, _TOP + _MONEY[2] / 2, turn - np.pi / 2))

    def success(self, world: World) -> bool:
        """The notes lie on the named shelf and are let go."""
        return world.released and world.in_sensor("money", f"shelf{self._shelf}")

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the shelf."""
        shelf = _SHELVES[variation]
        return (
            f"put the money on the {shelf} shelf of the safe",
            f"take the bank notes and lay them on the {shelf} shelf in the safe",
            f"store the bundle of money inside the safe, on its {shelf} shelf",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Grasps the end of the bundle, carries it before the opening, slides it in."""
        safe, money = world.pose("safe"), world.pose("money")
        at_money, at_shelf = _inclined(money.yaw), _inclined(safe.yaw - np.pi / 2)
        grasp = money.at(-_GRIP, 0, _OVER - _MONEY[2] / 2)
        before = grasp - 0.10 * at_money.apply([0.0, 0.0, 1.0])
        z = _SHELF_Z[self._shelf] + _OVER + _CLEAR
        return [
            Keyframe(Pose(before, at_money), True),
            Keyframe(Pose(grasp, at_money), False, linear=True),
            Keyframe(Pose(raised(grasp, 0.08), at_money), False, linear=True),
            Keyframe(Pose(safe.at(0, _AWAY_Y, _TOP + 0.08), at_shelf), False, linear=True),
            Keyframe(Pose(safe.at(0, _BEFORE_Y, z), at_shelf), False, linear=True),
            Keyframe(Pose(safe.at(0, _INSERTED_Y, z), at_shelf), True, linear=True),
        ]


def _inclined(heading: float) -> Rotation:
    """Tip rotation with the hand flat, pointing along a heading (rad) and down by the pitch."""
    c, s = np.cos(heading), np.sin(heading)
    level, down = np.cos(_PITCH), np.sin(_PITCH)
    return approach((level * c, level * s, -down), (-s, c, 0.0))


def _walls() -> str:
    boxes = [
        ("static", ".0045 .118 .23775", "-.1505 0 .23625", _BODY),
        ("static", ".0045 .118 .23775", ".1505 0 .23625", _BODY),
        ("static", ".146 .006 .23775", "0 -.112 .23625", _BODY),
        ("static", ".155 .118 .00975", f"0 0 {_TOP - 0.00975}", _BODY),
        ("static", ".146 .112 .01025", f"0 .006 {_SHELF_Z[0] - 0.01025}", _LINING),
        # Raised panels on back and sides, lining, frame of the opening.
        ("visual", ".115 .002 .19", "0 -.119 .2465", _PANEL),
        ("visual", ".002 .083 .19", "-.156 0 .2465", _PANEL),
        ("visual", ".002 .083 .19", ".156 0 .2465", _PANEL),
        ("visual", ".1455 .0005 .2275", "0 -.1052 .2465", _LINING),
        ("visual", ".0005 .112 .2275", "-.1452 .006 .2465", _LINING),
        ("visual", ".0005 .112 .2275", ".1452 .006 .2465", _LINING),
    ]
    boxes += [("static", ".1445 .1 .004", f"0 -.004 {z - 0.004}", _BOARD) for z in _SHELF_Z[1:]]
    return "".join(f'<geom class="{k}" type="box" size="{s}" pos="{p}" rgba="{c}"/>' for k, s, p, c in boxes)


def _door() -> str:
    """The leaf along x from the hinge; its outer face, with wheel and dial, looks along -y."""
    spokes = "".join(
        f'<geom class="visual" type="box" size=".040 .003 .004" pos=".17 -.032 -.07" euler="0 {angle} 0"'
        ' material="steel"/>'
        for angle in (0.0, 1.0472, 2.0944)
    )
    ticks = "".join(
        f'<geom class="visual" type="box" size=".0012 .0005 .004" euler="0 {angle:.4f} 0"'
        f' pos="{0.17 + 0.031 * np.sin(angle):.4f} -.0097 {0.07 + 0.031 * np.cos(angle):.4f}" rgba=".1 .1 .1 1"/>'
        for angle in np.linspace(0, 2 * np.pi, 10, endpoint=False)
    )
    bolts = "".join(
        f'<geom class="visual" type="cylinder" size=".008 .008" pos="{_LEAF} .006 {z}" euler="0 1.5708 0"'
        ' material="steel"/>'
        for z in (-0.15, 0.0, 0.15)
    )
    return f"""
    <body name="door" pos="{_HINGE_X} {_FRONT_Y} .2465" euler="0 0 {_AJAR}">
      <joint name="safe_joint" axis="0 0 1" range="0 3.14" damping=".5" frictionloss=".5" armature=".02"/>
      <geom class="articulated" type="box" size="{_LEAF / 2} .005 .2255" pos="{_LEAF / 2} .006 0" mass="1"
            rgba="{_BODY}"/>
      <geom class="visual" type="box" size=".115 .002 .19" pos="{_LEAF / 2} .0125 0" rgba="{_PANEL}"/>
      {bolts}
      <geom class="visual" type="mesh" mesh="wheel" pos=".17 -.032 -.07" euler="1.5708 0 0" material="steel"/>
      <geom class="visual" type="cylinder" size=".010 .018" pos=".17 -.017 -.07" euler="1.5708 0 0" material="steel"/>
      {spokes}
      <geom class="visual" type="cylinder" size=".036 .005" pos=".17 -.0045 .07" euler="1.5708 0 0"
            rgba=".94 .94 .92 1"/>
      {ticks}
      <geom class="visual" type="cylinder" size=".019 .009" pos=".17 -.018 .07" euler="1.5708 0 0"
            material="dark_steel"/>
    </body>"""


def _note() -> Image.Image:
    """Face of a note: border, portrait, figures in the corners."""
    paper, ink = (168, 205, 150), (28, 92, 44)
    image = Image.new("RGB", (192, 84), paper)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 191, 83), outline=ink, width=3)
    draw.rectangle((9, 9, 182, 74), outline=ink, width=4)
    for x in (22, 142):
        draw.ellipse((x, 22, x + 28, 61), fill=ink)
    return image


def _edges() -> np.ndarray:
    """Sides of the bundle: one line a note."""
    lines = np.where(np.arange(32)[:, None] % 4 < 2, 1.0, 0.72) * np.ones((32, 32))
    return (lines[..., None] * (150, 190, 135)).astype(np.uint8)
