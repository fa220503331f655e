"""Screw the lid onto the jar of the named colour."""

from collections.abc import Sequence

import numpy as np

from envs.rlbench.palette import COLOR_NAMES, PALETTE, with_another
from envs.rlbench.pose import Pose
from envs.rlbench.shapes import lathe, wall
from envs.rlbench.task import Keyframe, Task, facing_down, raised, scatter
from envs.rlbench.world import World

_JARS = 2
_LID = (0.043, 0.277)  # m, root frame
_JAR_RADIUS = 0.046  # m
_APART = 0.11  # m between the jars' axes, at least
_RIM = 0.106  # m: the jar's rim over the root's plane
_ON_TABLE = 0.0086  # m: the lid's origin where it lies on the table
_ON_JAR = _RIM + 0.0045  # m: where it lies on a jar
_GRASP = 0.0105  # m: the tip over the lid's origin; the pads then reach 9.5 mm down the knob
_TIGHTEN = np.pi / 4  # rad: the expert turns from here to the opposite angle, clockwise as seen from above

# Radius and height (m) along each surface.
_BODY = ((0, -0.002), (0.041, -0.002), (0.0455, 0.003), (0.046, 0.065), (0.044, 0.076), (0.038, 0.084), (0.030, 0.087))
_NECK = (
    *((0.030, 0.0865), (0.030, 0.091), (0.0318, 0.0925), (0.0318, 0.0945), (0.030, 0.096), (0.030, 0.098)),
    *((0.0318, 0.0995), (0.0318, 0.1015), (0.030, 0.103), (0.030, 0.1055), (0.0285, _RIM), (0.026, _RIM)),
    (0.026, 0.098),
)
_HOLLOW = ((0.026, 0.0985), (0.026, 0.060), (0, 0.060))
# The skirt hangs over the jar's neck; the knob on top is what the gripper holds.
_SKIRT = (
    *((0.0345, -0.0045), (0.0345, -0.0105), (0.0370, -0.0105), (0.0370, -0.0090), (0.0360, -0.0085)),
    *((0.0360, -0.0070), (0.0370, -0.0065), (0.0370, -0.0050), (0.0345, -0.0025), (0.014, -0.0022)),
)
_KNOB = ((0.0150, -0.003), (0.0150, 0.000), (0.0175, 0.003), (0.0175, 0.0085), (0.0155, 0.0105), (0, 0.0105))


class CloseJar(Task):
    """Variation: palette index of the target jar's colour; the other jar takes any other."""

    name = "close_jar"
    variations = 20
    extent = (-0.1665, 0.1665, -0.2755, 0.314)
    yaw_bounds = (-0.6 * np.pi, 0.6 * np.pi)
    graspable = ("lid",)

    def assets(self) -> str:
        """Jar and lid as surfaces of revolution; glaze, glass, tin."""
        # MuJoCo takes a geom painted in its default grey for unpainted and asks the material: the same grey.
        return f"""
        <material name="glaze" rgba=".5 .5 .5 1" specular=".5" shininess=".8"/>
        <material name="glass" rgba=".90 .93 .90 1" specular=".7" shininess=".8"/>
        <material name="tin" rgba=".60 .62 .66 1" specular=".6" shininess=".6"/>
        {lathe("jar_body", _BODY, 24)}{lathe("jar_neck", _NECK)}{lathe("jar_hollow", _HOLLOW)}
        {lathe("lid_skirt", _SKIRT, 24)}{lathe("lid_knob", _KNOB)}"""

    def bodies(self) -> str:
        """Two jars that stand firm, and the lid; what counts is the jar of index 0."""
        jars = "".join(
            f"""
            <body name="jar{i}">
              <geom name="glaze{i}" class="visual" type="mesh" mesh="jar_body" material="glaze"/>
              <geom class="visual" type="mesh" mesh="jar_neck" material="glass"/>
              <geom class="visual" type="mesh" mesh="jar_hollow" rgba=".16 .15 .14 1"/>
              <geom class="static" group="3" type="cylinder" size="{_JAR_RADIUS} .0435" pos="0 0 .0415"/>
              <geom class="static" group="3" type="cylinder" size=".030 .0105" pos="0 0 {_RIM - 0.0105}"/>
              {'<geom name="on_jar" class="sensor" type="box" size=".025 .025 .01" pos="0 0 .111"/>' if i == 0 else ""}
            </body>"""
            for i in range(_JARS)
        )
        skirt = wall(0.037, 0.0025, -0.0105, -0.0045, 'class="object" group="3" mass=".04"', 12)
        return f"""
        <body name="root"/>{jars}
        <body name="lid"><freejoint/>
          <geom class="visual" type="mesh" mesh="lid_skirt" material="tin"/>
          <geom class="visual" type="mesh" mesh="lid_knob" material="tin" rgba=".45 .46 .50 1"/>
          <geom class="object" group="3" type="cylinder" size=".0368 .001" pos="0 0 -.0035" mass=".42"/>
          <geom class="object" group="3" type="cylinder" size=".0175 .0065" pos="0 0 .004" mass=".1"/>
          {skirt}
        </body>"""

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """Scatters the jars over their boundary; the lid lies at its place."""
        root = world.pose("root")
        x0, x1, y0 = self.extent[:3]
        low, high = (x0 + _JAR_RADIUS, y0 + _JAR_RADIUS), (x1 - _JAR_RADIUS, 0.0975 - _JAR_RADIUS)
        for i, (x, y) in enumerate(scatter(rng, _JARS, low, high, _APART)):
            world.place(f"jar{i}", Pose(root.at(x, y, 0), root.rotation))
        world.place("lid", Pose(root.at(*_LID, _ON_TABLE), root.rotation))
        for i, color in enumerate(with_another(variation, rng)):
            world.color(f"glaze{i}", PALETTE[color])

    def success(self, world: World) -> bool:
        """The lid is in the sensor over the named jar's mouth, and let go."""
        return world.released and world.in_sensor("lid", "on_jar")

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the colour."""
        color = COLOR_NAMES[variation]
        return (
            f"close the {color} jar",
            f"screw the lid onto the {color} jar",
            f"take the lid off the table and put it on the {color} jar",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Takes the lid by its knob, sets it on the jar, tightens it by a quarter turn."""
        grasp = raised(world.pose("lid").position, _GRASP)
        on_jar = world.pose("jar0").at(0, 0, _ON_JAR + _GRASP + 0.001)
        down, loose, tight = facing_down(0.0), facing_down(_TIGHTEN), facing_down(-_TIGHTEN)
        return [
            Keyframe(Pose(raised(grasp, 0.10), down), True),
            Keyframe(Pose(grasp, down), False),
            Keyframe(Pose(raised(grasp, 0.17), down), False),
            Keyframe(Pose(raised(on_jar, 0.07), loose), False),
            Keyframe(Pose(on_jar, loose), False, linear=True),
            Keyframe(Pose(on_jar, tight), True, linear=True),
        ]
