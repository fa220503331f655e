"""Take the chicken or the steak off the grill and lay it on the plate beside it."""

from collections.abc import Sequence

import numpy as np

from envs.rlbench.pose import Pose
from envs.rlbench.shapes import lathe, prism
from envs.rlbench.task import Keyframe, Task, facing_down, half_turn, raised
from envs.rlbench.textures import png
from envs.rlbench.world import World

_MEATS = ("chicken", "steak")
_GRILL = (-0.10, -0.04)  # m, in the root's frame; 0.30 m wide along x, 0.22 m deep
_GRATE_Z = 0.166
_PLATE, _PLATE_Z = (0.145, -0.04), 0.159
_PLACE = {"chicken": (-0.170, -0.03), "steak": (-0.045, -0.04)}
_REST_Z = {"chicken": 0.0275, "steak": 0.011}  # m: middle above what the meat lies on
_TIP_Z = {"chicken": 0.020, "steak": 0.012}  # m: tip above the same
_GRASP_Y = {"chicken": -0.022, "steak": 0.0}  # m along the meat
_OVER = 0.12  # m: height of the way to the plate
_LYING = 'euler="1.5708 0 0"'  # a cylinder's axis along y
_OPEN = -np.deg2rad(105.0)  # the lid's turn about its hinge
_ENAMEL, _SKIN, _BONE = ".62 .07 .06 1", ".80 .47 .15 1", ".95 .92 .84 1"
_MEAT, _FAT, _CHAR = ".52 .17 .12 1", ".93 .80 .62 1", ".20 .07 .05 1"
# Side view of the lid when closed: y from the hinge at 0 to the front, z up.
_LID = ((0.0, 0.0), (-0.006, 0.035), (-0.045, 0.066), (-0.11, 0.075), (-0.175, 0.066), (-0.214, 0.035), (-0.22, 0.0))


class MeatOffGrill(Task):
    """Variation: 0 chicken, 1 steak."""

    name = "meat_off_grill"
    variations = 2
    extent = (-0.262, 0.236, -0.156, 0.217)
    graspable = _MEATS

    def assets(self) -> str:
        """Lid, plate, meat; glow of the coals."""
        inner = [(0.96 * (y + 0.11) - 0.11, 0.93 * z) for y, z in _LID]
        t = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        # Egg-shaped outline of the steak; the lean part leaves a rim of fat, wide on one side.
        x, y = 0.032 * np.cos(t) * (1 + 0.22 * np.sin(t)) / 1.025, 0.062 * np.sin(t)
        drumstick = [(0, -0.066), (0.015, -0.062), (0.0245, -0.048), (0.0275, -0.028), (0.0255, -0.008)]
        drumstick += [(0.0195, 0.012), (0.0125, 0.030), (0.0085, 0.042), (0, 0.044)]
        knuckle = [(0, -0.009), (0.0075, -0.005), (0.0085, 0.002), (0.0055, 0.008), (0, 0.009)]
        plate = [(0, 0), (0.045, 0), (0.072, 0.0085), (0.074, 0.0095), (0.050, 0.0070), (0, 0.0070)]
        return f"""
        <texture name="coals" type="2d" file="coals.png"/><material name="coals" texture="coals" emission=".35"/>
        {prism("lid", [*_LID, *inner[::-1]], -0.15, 0.15)}{prism("lid_end", _LID, -0.002, 0.002)}
        {prism("fat", list(zip(x, y, strict=True)), -0.011, 0.0100)}
        {prism("lean", list(zip(0.84 * x - 0.003, 0.90 * y, strict=True)), -0.0105, 0.011)}
        {lathe("drumstick", drumstick, 14)}{lathe("knuckle", knuckle, 8)}{lathe("plate", plate, 24)}"""

    def files(self) -> dict[str, bytes]:
        """Texture of the coals."""
        return {"coals.png": png(_coals())}

    def bodies(self) -> str:
        """The grill with a side table and a plate; the meat."""
        x, y = _PLATE
        return f"""
        <body name="root">
          {_grill()}{_side_table()}
          <geom name="beside" class="sensor" type="box" size=".05 .05 .0175" pos="{x} {y} {_PLATE_Z + 0.0125}"/>
        </body>
        {_chicken()}{_steak()}"""

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """Both pieces lie at their places on the grate; only the grill's pose is random."""
        self._meat = _MEATS[variation]
        root = world.pose("root")
        for meat, (x, y) in _PLACE.items():
            world.place(meat, Pose(root.at(x, y, _GRATE_Z + _REST_Z[meat]), root.rotation))

    def success(self, world: World) -> bool:
        """The named meat lies beside the grill and is let go."""
        return world.released and world.in_sensor(self._meat, "beside")

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the meat."""
        meat = _MEATS[variation]
        return (
            f"take the {meat} off the grill",
            f"lift the {meat} from the grill and lay it on the plate",
            f"move the {meat} to the plate beside the grill",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Grasps the meat across, carries it over the plate, lays it down."""
        root, meat = world.pose("root"), world.pose(self._meat)
        along = _GRASP_Y[self._meat]
        down = facing_down(half_turn(meat.yaw - np.pi / 2))
        grasp = meat.at(0, along, _TIP_Z[self._meat] - _REST_Z[self._meat])
        plate = root.at(_PLATE[0], _PLATE[1] + along, _PLATE_Z + _TIP_Z[self._meat] + 0.004)
        return [
            Keyframe(Pose(raised(grasp, _OVER), down), True),
            Keyframe(Pose(grasp, down), False),
            Keyframe(Pose(raised(grasp, _OVER), down), False),
            Keyframe(Pose(raised(plate, _OVER), down), False),
            Keyframe(Pose(plate, down), True, linear=True),
        ]


def _geom(kind: str, shape: str, size: str, position: tuple[float, float, float], look: str) -> str:
    x, y, z = position
    return f'<geom class="{kind}" type="{shape}" size="{size}" pos="{x:.4f} {y:.4f} {z:.4f}" {look}/>'


def _grill() -> str:
    """Fire box on four legs, coals, grate, open lid."""
    x, y = _GRILL
    red, dark = f'rgba="{_ENAMEL}"', 'material="dark_steel"'
    xml = "".join(
        _geom("static", "box", ".15 .004 .04", (x, y + side * 0.106, 0.125), red)
        + _geom("static", "box", ".004 .102 .04", (x + side * 0.146, y, 0.125), red)
        + "".join(
            _geom("static", "box", ".008 .008 .044", (x + side * 0.13, y + end * 0.09, 0.042), dark) for end in (-1, 1)
        )
        for side in (-1, 1)
    )
    xml += _geom("static", "box", ".15 .11 .003", (x, y, 0.088), red)
    xml += _geom("visual", "box", ".142 .102 .016", (x, y, 0.107), 'material="coals"')
    # What the bars carry rests on one flat box: nothing catches between them.
    xml += _geom("static", "box", ".142 .102 .004", (x, y, _GRATE_Z - 0.004), 'group="3"')
    for bar in np.linspace(-0.132, 0.132, 12):
        xml += _geom("visual", "box", ".0035 .102 .0035", (x + bar, y, _GRATE_Z - 0.0035), dark)
    for rail in (-0.07, 0.07):
        xml += _geom("visual", "box", ".142 .003 .0025", (x, y + rail, _GRATE_Z - 0.0085), dark)
    for side in (-1, 1):
        xml += _geom("visual", "cylinder", ".030 .008", (x - 0.13, y + side * 0.106, 0.028), f"{_LYING} {dark}")
    handle = "".join(
        _geom("visual", "box", ".005 .006 .014", (side * 0.06, -0.165, 0.080), dark)
        + f'<geom class="visual" type="mesh" mesh="lid_end" pos="{side * 0.15} 0 0" quat=".5 .5 .5 .5" {red}/>'
        for side in (-1, 1)
    )
    return f"""{xml}
    <body name="lid" pos="{x} {y + 0.11} .167" euler="{_OPEN} 0 0">
      <geom class="visual" type="mesh" mesh="lid" quat=".5 .5 .5 .5" {red}/>{handle}
      <geom class="visual" type="capsule" size=".007" fromto="-.075 -.165 .098 .075 -.165 .098" rgba=".35 .2 .1 1"/>
      <geom class="static" type="box" size=".152 .11 .0375" pos="0 -.11 .0375" group="3"/>
    </body>"""


def _side_table() -> str:
    """Wooden slats on the grill's right, with the plate."""
    x, y = _PLATE
    xml = "".join(
        _geom("static", "box", ".090 .0265 .006", (x, y + slat, 0.146), 'rgba=".55 .36 .19 1"')
        for slat in (-0.056, 0.0, 0.056)
    )
    for bar in (-0.05, 0.05):
        xml += _geom("static", "box", ".092 .006 .006", (x - 0.003, y + bar, 0.134), 'material="dark_steel"')
    xml += f'<geom class="visual" type="mesh" mesh="plate" pos="{x} {y} .1525" rgba=".95 .95 .96 1"/>'
    return xml + _geom("static", "cylinder", ".070 .0033", (x, y, _PLATE_Z - 0.0033), 'group="3"')


def _chicken() -> str:
    """A drumstick, its bone towards +y. It rests on a box, since a round one would roll."""
    knuckles = "".join(
        f'<geom class="visual" type="mesh" mesh="knuckle" pos="{x} .074 0" rgba="{_BONE}"/>' for x in (-0.006, 0.006)
    )
    return f"""
    <body name="chicken"><freejoint/>
      <geom class="object" type="box" size=".025 .037 .0275" pos="0 -.024 0" mass=".12" group="3"/>
      <geom class="object" type="box" size=".009 .030 .009" pos="0 .046 0" mass=".02" group="3"/>
      <geom class="visual" type="mesh" mesh="drumstick" euler="-1.5708 0 0" rgba="{_SKIN}"/>
      <geom class="visual" type="cylinder" size=".0055 .018" pos="0 .056 0" euler="1.5708 0 0" rgba="{_BONE}"/>
      {knuckles}
    </body>"""


def _steak() -> str:
    """A T-bone steak, long along y."""
    marks = "".join(
        f'<geom class="visual" type="box" size=".020 .0022 .0004" pos="-.002 {y} .0112" euler="0 0 .5" rgba="{_CHAR}"/>'
        for y in (-0.034, -0.016)
    )
    return f"""
    <body name="steak"><freejoint/>
      <geom class="object" type="box" size=".031 .045 .011" mass=".14" group="3"/>
      <geom class="visual" type="mesh" mesh="fat" rgba="{_FAT}"/>
      <geom class="visual" type="mesh" mesh="lean" rgba="{_MEAT}"/>
      <geom class="visual" type="box" size=".022 .004 .0005" pos="-.002 .040 .0113" rgba="{_BONE}"/>
      <geom class="visual" type="box" size=".0035 .024 .0005" pos="-.002 .014 .0114" rgba="{_BONE}"/>
      {marks}
    </body>"""


def _coals() -> np.ndarray:
    """Dark lumps with a glow between them."""
    rng = np.random.default_rng(0)
    centres = rng.uniform(0, 64, (60, 2))
    grid = np.stack(np.meshgrid(np.arange(64), np.arange(64)), axis=-1) + 0.5
    gaps = np.sort(np.linalg.norm(grid[:, :, None] - centres, axis=-1), axis=-1)
    glow = np.clip(1 - (gaps[..., 1] - gaps[..., 0]) / 2.6, 0, 1)[..., None]
    dark, hot = np.array([48, 40, 40]), np.array([225, 60, 15])
    return (dark + glow * (hot - dark)).astype(np.uint8)
