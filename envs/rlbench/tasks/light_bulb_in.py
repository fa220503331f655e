"""Screw the bulb that stands in the holder of the named colour into the lamp."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from envs.rlbench.palette import COLOR_NAMES, PALETTE, with_another
from envs.rlbench.pose import Pose
from envs.rlbench.shapes import lathe, wall
from envs.rlbench.task import Keyframe, Task, facing_down, raised, scatter
from envs.rlbench.world import World

_BULBS = 2
_LAMP = (0.033, 0.002)  # m, root frame
_SPAWN_Y = (0.106, 0.404)  # m: the holders' boundary
_HOLDER_RADIUS = 0.0495  # m
_APART = 0.125  # m between the holders' axes, at least: room for the open gripper
_FLOOR = 0.018  # m: foot of a bulb that stands in its holder, over the root's plane
_SEAT = 0.294  # m: foot of a bulb that is screwed into the lamp
_GLOBE = 0.072  # m: middle of the globe over the bulb's foot
_TIGHTEN = np.pi / 4  # rad: the expert turns from here to the opposite angle, clockwise as seen from above

# Radius and height (m) along each surface. The bulb's origin is its foot.
_THREAD = (
    *((0, 0), (0.0070, 0.001), (0.0130, 0.0065), (0.0137, 0.009), (0.0123, 0.0115), (0.0137, 0.014), (0.0123, 0.0165)),
    *((0.0137, 0.019), (0.0135, 0.026)),
)
_GLASS = (
    *((0.0130, 0.0258), (0.0150, 0.035), (0.0195, 0.0445), (0.0265, 0.0515), (0.0320, 0.0605), (0.0340, 0.072)),
    *((0.0326, 0.0816), (0.0275, 0.0920), (0.0165, 0.1015), (0, 0.106)),
)
_CUP = (
    *((0.0495, -0.002), (0.0495, 0.011), (0.0470, 0.0135), (0.0290, 0.020), (0.0255, 0.034), (0.0240, 0.036)),
    *((0.0165, 0.036), (0.0160, _FLOOR), (0, _FLOOR)),
)
_STAND = (
    *((0.047, -0.002), (0.047, 0.008), (0.040, 0.016), (0.018, 0.023), (0.0095, 0.034), (0.0095, 0.235)),
    *((0.012, 0.245), (0.021, 0.255), (0.0245, 0.265), (0.0245, 0.276)),
)
_SOCKET = (
    *((0.0250, 0.2755), (0.0255, 0.277), (0.0255, 0.332), (0.0245, 0.334), (0.0220, 0.334), (0.0215, 0.320)),
    *((0.0160, 0.314), (0.0160, _SEAT), (0, _SEAT)),
)
_REFLECTOR = (
    *((0.0250, 0.2765), (0.0320, 0.2800), (0.0410, 0.2890), (0.0470, 0.3025), (0.0455, 0.3025), (0.0395, 0.2915)),
    *((0.0310, 0.2830), (0.0250, 0.2800)),
)


class LightBulbIn(Task):
    """Variation: palette index of the target holder's colour; the other holder takes any other."""

    name = "light_bulb_in"
    variations = 20
    extent = (-0.1665, 0.1665, -0.045, 0.404)
    graspable = tuple(f"bulb{i}" for i in range(_BULBS))

    def assets(self) -> str:
        """Bulb, holder and lamp as surfaces of revolution; paint, glass, brass, enamel, bakelite."""
        # MuJoCo takes a geom painted in its default grey for unpainted and asks the material: the same grey.
        return f"""
        <material name="paint" rgba=".5 .5 .5 1" specular=".4" shininess=".6"/>
        <material name="frosted" rgba=".98 .96 .88 1" specular=".9" shininess=".9"/>
        <material name="brass" rgba=".80 .62 .26 1" specular=".8" shininess=".7"/>
        <material name="enamel" rgba=".86 .84 .76 1" specular=".6" shininess=".7"/>
        <material name="bakelite" rgba=".13 .13 .15 1" specular=".5" shininess=".6"/>
        {lathe("thread", _THREAD, 12)}{lathe("globe", _GLASS, 18)}{lathe("cup", _CUP, 18)}
        {lathe("lamp_stand", _STAND, 16)}{lathe("lamp_socket", _SOCKET, 18)}{lathe("reflector", _REFLECTOR)}"""

    def bodies(self) -> str:
        """The lamp, two holders that stand firm, a bulb in each; what counts is the bulb of index 0."""
        x, y = _LAMP
        static = 'class="static" group="3"'
        cord = ((0, -0.045), (0.012, -0.065), (-0.008, -0.085), (-0.002, -0.105))
        lamp = f"""
        <body name="lamp" pos="{x} {y} 0">
          <geom class="visual" type="mesh" mesh="lamp_stand" material="bakelite"/>
          <geom class="visual" type="mesh" mesh="lamp_socket" material="brass"/>
          <geom class="visual" type="mesh" mesh="reflector" material="enamel"/>
          <geom {static} type="cylinder" size=".047 .006" pos="0 0 .004"/>
          <geom {static} type="cylinder" size=".028 .006" pos="0 0 .015"/>
          <geom {static} type="cylinder" size=".0095 .115" pos="0 0 .135"/>
          <geom {static} type="cylinder" size=".024 {(_SEAT - 0.25) / 2}" pos="0 0 {(_SEAT + 0.25) / 2}"/>
          <geom {static} type="cylinder" size=".042 .008" pos="0 0 .285"/>
          {wall(0.0255, 0.0095, _SEAT, 0.316, static, 8)}{wall(0.0255, 0.0040, 0.316, 0.334, static, 8)}
          <geom name="in_lamp" class="sensor" type="box" size=".01 .01 .0175" pos="0 0 .2965"/>
          {_cord(cord)}
        </body>"""
        holders = "".join(
            f"""
            <body name="holder{i}">
              <geom name="paint{i}" class="visual" type="mesh" mesh="cup" material="paint"/>
              <geom {static} type="cylinder" size="{_HOLDER_RADIUS} .0075" pos="0 0 .0055"/>
              <geom {static} type="cylinder" size=".03 .003" pos="0 0 .015"/>
              {wall(0.027, 0.011, _FLOOR, 0.036, static, 8)}
            </body>
            <body name="bulb{i}"><freejoint/>
              <geom class="visual" type="mesh" mesh="thread" material="brass"/>
              <geom class="visual" type="mesh" mesh="globe" material="frosted"/>
              <geom class="object" group="3" type="cylinder" size=".0085 .004" pos="0 0 .004" mass=".2"/>
              <geom class="object" group="3" type="cylinder" size=".0135 .012" pos="0 0 .018" mass=".4"/>
              <geom class="object" group="3" type="sphere" size=".034" pos="0 0 {_GLOBE}" mass=".4"/>
            </body>"""
            for i in range(_BULBS)
        )
        return f'<body name="root">{lamp}</body>{holders}'

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """Scatters the holders with their bulbs over the boundary."""
        root = world.pose("root")
        x0, x1 = self.extent[:2]
        low, high = (
            (x0 + _HOLDER_RADIUS, _SPAWN_Y[0] + _HOLDER_RADIUS),
            (x1 - _HOLDER_RADIUS, _SPAWN_Y[1] - _HOLDER_RADIUS),
        )
        for i, (x, y) in enumerate(scatter(rng, _BULBS, low, high, _APART)):
            world.place(f"holder{i}", Pose(root.at(x, y, 0), root.rotation))
            world.place(f"bulb{i}", Pose(root.at(x, y, _FLOOR), root.rotation))
        for i, color in enumerate(with_another(variation, rng)):
            world.color(f"paint{i}", PALETTE[color])

    def success(self, world: World) -> bool:
        """The bulb of the named holder is in the lamp's socket, and let go."""
        return world.released and world.in_sensor("bulb0", "in_lamp")

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the colour of the holder."""
        color = COLOR_NAMES[variation]
        return (
            f"screw in the bulb from the {color} holder",
            f"take the light bulb out of the {color} holder and screw it into the lamp",
            f"put the bulb that stands in the {color} holder into the lamp",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Takes the bulb by its globe, lifts it over the lamp, screws it in by a quarter turn."""
        grasp = world.pose("bulb0").at(0, 0, _GLOBE)
        screwed = world.pose("lamp").at(0, 0, _SEAT + _GLOBE + 0.001)
        down, loose, tight = facing_down(0.0), facing_down(_TIGHTEN), facing_down(-_TIGHTEN)
        return [
            Keyframe(Pose(raised(grasp, 0.10), down), True),
            Keyframe(Pose(grasp, down), False),
            Keyframe(Pose(raised(grasp, 0.35), down), False),
            Keyframe(Pose(raised(screwed, 0.07), loose), False),
            Keyframe(Pose(screwed, tight), True, linear=True),
        ]


def _cord(points: Sequence[tuple[float, float]]) -> str:
    """The lamp's cord on the table, and its plug."""
    cord = "".join(
        f'<geom class="visual" type="capsule" size=".003" fromto="{a} {b} .001 {c} {d} .001" material="bakelite"/>'
        for (a, b), (c, d) in pairwise(points)
    )
    x, y = points[-1]
    return (
        f'{cord}<geom class="visual" type="box" size=".009 .013 .006" pos="{x} {y - 0.012} .004" material="bakelite"/>'
    )
