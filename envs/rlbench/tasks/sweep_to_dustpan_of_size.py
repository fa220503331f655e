"""Take the broom out of its holder and sweep the dirt into the tall or the short dustpan."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from envs.rlbench.pose import Pose
from envs.rlbench.shapes import prism
from envs.rlbench.task import Keyframe, Task, approach
from envs.rlbench.world import World

_SIZES = ("tall", "short")
_DIRT = ((0.050, -0.050), (0.025, 0.0), (0.0, -0.050), (0.050, 0.0), (0.0, -0.075))  # m, root frame
_TABLE = -0.002  # m, the table's top in the root's frame
_BROOM = (-0.171, 0.235)  # m, root frame: the shaft's axis while it stands
_SHAFT = 0.0105  # m, radius
_BRISTLES = (0.1315, 0.024, 0.0325)  # m, half sizes
_CLIP_Z = 0.19  # m, where the holder clasps the shaft: below the hand
_GRASP_Z = 0.325  # m over the broom's lower end
_PITCH = np.deg2rad(45.0)  # the hand comes from above at this angle, for the sake of reach
_BEFORE = 0.2  # m before the grasp: on its way there the hand must not brush the shaft
_OUT, _LIFT = 0.09, 0.05  # m out of the clip, which is open towards -y, and up
# y of the shaft behind the dirt and at the end of the sweep, when the bristles are over the dustpan's lip (m).
_SWEEPS = {"tall": (0.055, -0.189), "short": (-0.135, 0.129)}
# For a broom on the robot's left or right: heading of the hand and of its opening (rad, world) and x of the shaft in a
# sweep (m, root frame), so that the bristles pass over all the dirt and the hand beside the dustpans' handles.
_LEFT, _RIGHT = (0.0, np.deg2rad(90.0), 0.03), (np.deg2rad(-65.0), np.deg2rad(-155.0), 0.09)
_PLASTIC, _LIP, _GRIP = ".13 .32 .72 1", ".08 .20 .48 1", ".12 .12 .13 1"
_STRAW = (".90 .74 .36 1", ".80 .62 .26 1")


class SweepToDustpanOfSize(Task):
    """Variation: 0 tall, 1 short."""

    name = "sweep_to_dustpan_of_size"
    variations = 2
    extent = (-0.303, 0.185, -0.45, 0.45)
    graspable = ("broom",)

    def assets(self) -> str:
        """Side walls of the dustpans."""
        return _side_mesh("tall", 0.218, 0.083) + _side_mesh("short", 0.131, 0.050)

    def bodies(self) -> str:
        """Two dustpans and the broom's holder, fixed; the broom; the dirt."""
        # Damped, since crumbs that light would roll and bounce away from the bristles as dice do.
        dirt = "".join(
            f"""
            <body name="dirt{i}"><joint type="free" damping=".002"/>
              <geom class="object" type="box" size=".005 .005 .005" mass=".002" solref=".01 1" rgba=".22 .14 .08 1"/>
            </body>"""
            for i in range(len(_DIRT))
        )
        return f"""
        <body name="root">
          <body pos=".004 -.192 0" euler="0 0 3.14159265">{_dustpan("tall", 0.274, 0.218, 0.083, 0.138, 0.68, 0.0105)}
          </body>
          <body pos=".045 .1375 0">{_dustpan("short", 0.164, 0.131, 0.050, 0.0835, 0.41, 0.007)}</body>
          <geom name="in_tall" class="sensor" type="box" size=".125 .075 .025" pos="0 -.275 .023"/>
          <geom name="in_short" class="sensor" type="box" size=".075 .045 .015" pos=".041 .188 .014"/>
          {_holder()}
        </body>
        <body name="broom"><freejoint/>{_broom()}</body>{dirt}"""

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """Broom and dirt have fixed places; all moves with the root."""
        self._size = _SIZES[variation]
        root = world.pose("root")
        world.place("broom", root * Pose(np.array([*_BROOM, _TABLE]), Rotation.identity()))
        for i, (x, y) in enumerate(_DIRT):
            world.place(f"dirt{i}", root * Pose(np.array([x, y, _TABLE + 0.005]), Rotation.identity()))

    def success(self, world: World) -> bool:
        """All the dirt is in the named dustpan."""
        return all(world.in_sensor(f"dirt{i}", f"in_{self._size}") for i in range(len(_DIRT)))

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the dustpan by its size."""
        size = _SIZES[variation]
        return (
            f"sweep the dirt into the {size} dustpan",
            f"use the broom to brush all the dirt into the {size} dustpan",
            f"take the broom and clean the dirt up with the {size} dustpan",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Before the shaft, grasp it, out of the clip, behind the dirt, down, sweep."""
        root, broom = world.pose("root"), world.pose("broom")
        heading, opening, x = _LEFT if broom.position[1] > 0 else _RIGHT
        level = np.cos(_PITCH)
        direction = (level * np.cos(heading), level * np.sin(heading), -np.sin(_PITCH))
        rotation = approach(direction, (np.cos(opening), np.sin(opening), 0.0))
        grasp = broom.at(0, 0, _GRASP_Z)
        z = _TABLE + _GRASP_Z  # the bristles touch the table
        behind, end = _SWEEPS[self._size]
        return [
            Keyframe(Pose(grasp - _BEFORE * np.array(direction), rotation), True, linear=True),
            Keyframe(Pose(grasp, rotation), False, linear=True),
            Keyframe(Pose(broom.at(0, -_OUT, _GRASP_Z + _LIFT), rotation), False, linear=True),
            Keyframe(Pose(root.at(x, behind, z + _LIFT), rotation), False, linear=True),
            Keyframe(Pose(root.at(x, behind, z), rotation), False, linear=True),
            Keyframe(Pose(root.at(x, end, z), rotation), False, linear=True),
        ]


def _side_mesh(size: str, depth: float, height: float) -> str:
    """Side wall: rises from behind the lip to the hood; depth along the mesh's x, height along its y."""
    outline = ((0.035, _TABLE), (depth, _TABLE), (depth, height), (0.5 * depth, height))
    return prism(f"{size}_side", outline, -0.0015, 0.0015)


def _dustpan(size: str, width: float, depth: float, height: float, rod_y: float, top: float, rod: float) -> str:
    """A dustpan with an upright handle; its lip along x at y = 0, its inside towards +y.

    The floor is for the eye: dirt slides over the table into the dustpan, there is no step to climb.
    """
    half, middle = width / 2, depth / 2
    plastic = f'class="static" rgba="{_PLASTIC}"'
    sides = "".join(
        f'<geom type="mesh" mesh="{size}_side" pos="{sign * (half - 0.0015)} 0 0" quat=".5 .5 .5 .5" {plastic}/>'
        for sign in (-1, 1)
    )
    return f"""
    <geom class="visual" type="box" size="{half} {middle} .0006" pos="0 {middle} -.0013" rgba="{_PLASTIC}"/>
    <geom class="visual" type="box" size="{half} .006 .0006" pos="0 .006 -.0008" rgba="{_LIP}"/>
    {sides}
    <geom type="box" size="{half - 0.003} .0015 {height / 2 + 0.001}" pos="0 {depth - 0.0015} {height / 2 - 0.001}"
          {plastic}/>
    <geom type="box" size="{half} {depth / 4} .0015" pos="0 {0.75 * depth} {height + 0.0015}" {plastic}/>
    <geom class="static" type="cylinder" size="{1.6 * rod} .012" pos="0 {rod_y} {height + 0.015}" rgba="{_LIP}"/>
    <geom class="static" type="cylinder" size="{rod} {(top - height) / 2}" pos="0 {rod_y} {(top + height) / 2}"
          material="steel"/>
    <geom class="visual" type="capsule" size="{1.35 * rod} .05" pos="0 {rod_y} {top - 0.05}" rgba="{_GRIP}"/>"""


def _holder() -> str:
    """A stand with an arm that ends in a clip around the shaft, open towards -y."""
    x, y = _BROOM
    prongs = "".join(
        f'<geom class="static" type="box" size=".004 .022 .012" rgba="{_GRIP}" '
        f'pos="{x + sign * (_SHAFT + 0.007)} {y + 0.006} {_CLIP_Z}"/>'
        for sign in (-1, 1)
    )
    return f"""
    <geom class="static" type="box" size=".05 .05 .007" pos="{x} .376 .005" material="dark_steel"/>
    <geom class="static" type="box" size=".012 .012 .245" pos="{x} .376 .255" material="steel"/>
    <geom class="static" type="box" size=".008 .053 .008" pos="{x} .321 {_CLIP_Z}" material="steel"/>
    <geom class="static" type="box" size=".0215 .006 .012" pos="{x} {y + 0.034} {_CLIP_Z}" rgba="{_GRIP}"/>
    {prongs}"""


def _broom() -> str:
    """Geoms of the broom; its origin under the middle of the bristles, its head along x."""
    x, y, z = _BRISTLES
    tufts = 11
    pitch = 2 * x / tufts
    straw = "".join(
        f'<geom class="visual" type="box" size="{pitch / 2 - 0.0012:.5f} {y - 0.0005} {z}" '
        f'pos="{(i - (tufts - 1) / 2) * pitch:.5f} 0 {z}" rgba="{_STRAW[i % 2]}"/>'
        for i in range(tufts)
    )
    # Bristles glide: their friction counts in every contact.
    return f"""{straw}
    <geom class="object" type="box" size="{x} {y} {z}" pos="0 0 {z}" mass=".12" group="3" priority="1"
          friction=".3 .005 .0001"/>
    <geom class="object" type="box" size="{x} .025 .016" pos="0 0 {2 * z + 0.016}" mass=".18" rgba=".78 .13 .11 1"/>
    <geom class="object" type="cylinder" size=".017 .02" pos="0 0 {2 * z + 0.05}" mass=".02" rgba=".78 .13 .11 1"/>
    <geom class="object" type="cylinder" size="{_SHAFT} .2915" pos="0 0 .3615" mass=".125" rgba=".42 .25 .12 1"/>"""
