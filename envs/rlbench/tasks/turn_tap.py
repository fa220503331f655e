"""Turn the left or the right handle of a tap by a quarter turn."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from envs.rlbench.pose import Pose
from envs.rlbench.shapes import lathe
from envs.rlbench.task import Keyframe, Task, facing_down, half_turn
from envs.rlbench.world import World

_SIDES = ("left", "right")
_HANDLE_X = 0.11  # m from the middle of the tap
_AXIS_Z = 0.155  # m above the table: foot of the wing
_WING_Z = 0.028  # m from there to the middle of the wing
_ARCH = 0.05  # m: radius of the spout's arch
_ARCH_Z = 0.15  # m: where the arch begins
_TURN = np.deg2rad(108.0)  # the expert turns past the 90 degrees that count
_QUARTER = 1.57  # rad
# Of the two grasps half a turn apart the expert takes the one at or above this: it leaves the wrist room to turn.
_LOWEST_YAW = np.deg2rad(-105.0)


class TurnTap(Task):
    """Variation: 0 left, 1 right, as seen from behind the spout."""

    name = "turn_tap"
    variations = 2
    extent = (-0.16, 0.16, -0.06, 0.16)

    def assets(self) -> str:
        """Bell-shaped foot of a handle, collar of the spout, and its outlet."""
        bell = [(0, 0), (0.030, 0), (0.030, 0.012), (0.022, 0.030), (0.017, 0.060), (0.0165, 0.100), (0, 0.104)]
        collar = [(0, 0), (0.034, 0), (0.033, 0.010), (0.022, 0.022), (0.018, 0.034), (0, 0.034)]
        outlet = [(0, 0), (0.0165, 0), (0.0165, 0.026), (0, 0.028)]
        return lathe("tap_bell", bell) + lathe("tap_collar", collar) + lathe("tap_outlet", outlet)

    def bodies(self) -> str:
        """A tap: base, a spout that arches over, and two wing handles on vertical axes."""
        handles = "".join(self._handle(side, x) for side, x in zip(_SIDES, (-_HANDLE_X, _HANDLE_X), strict=True))
        angles = np.linspace(0.0, np.pi, 7)
        arch = [(_ARCH * (1 - np.cos(angle)), _ARCH_Z + _ARCH * np.sin(angle)) for angle in angles]
        bends = "".join(
            f'<geom class="static" type="capsule" size=".0125" fromto="0 {y0:.4f} {z0:.4f} 0 {y1:.4f} {z1:.4f}" '
            'material="steel"/>'
            for (y0, z0), (y1, z1) in pairwise([(0.0, 0.04), *arch, (2 * _ARCH, _ARCH_Z - 0.02)])
        )
        return f"""
        <body name="root">
          <geom class="static" type="box" size=".112 .032 .015" pos="0 0 .015" material="steel"/>
          <geom class="static" type="cylinder" size=".032 .015" pos="-.112 0 .015" material="steel"/>
          <geom class="static" type="cylinder" size=".032 .015" pos=".112 0 .015" material="steel"/>
          <geom class="visual" type="mesh" mesh="tap_collar" pos="0 0 .03" material="steel"/>
          <geom class="visual" type="mesh" mesh="tap_outlet" pos="0 {2 * _ARCH} {_ARCH_Z - 0.045}"
                material="dark_steel"/>
          {bends}{handles}
        </body>"""

    def _handle(self, side: str, x: float) -> str:
        color = ".15 .35 .85 1" if side == "left" else ".85 .15 .12 1"
        return f"""
        <geom class="static" type="cylinder" size=".017 .055" pos="{x} 0 .085" group="3"/>
        <geom class="visual" type="mesh" mesh="tap_bell" pos="{x} 0 .03" material="steel"/>
        <body name="{side}_handle" pos="{x} 0 {_AXIS_Z}">
          <joint name="{side}_handle" axis="0 0 1" range="-3.1 3.1" damping=".05" frictionloss=".02" armature=".002"/>
          <geom class="articulated" type="cylinder" size=".0185 .009" pos="0 0 -.004" mass=".05" material="dark_steel"/>
          <geom class="articulated" type="box" size=".038 .007 .022" pos="0 0 {_WING_Z}" mass=".05" condim="4"
                friction="2 .05 .001" material="steel"/>
          <geom class="visual" type="box" size=".0385 .0075 .009" pos="0 0 .0425" rgba="{color}"/>
        </body>"""

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """The tap moves with the root; nothing else is random."""
        self._side = _SIDES[variation]

    def start(self, world: World) -> None:
        """Remembers the handle's angle."""
        self._closed = world.joint(f"{self._side}_handle")

    def success(self, world: World) -> bool:
        """The named handle turned by more than 1.57 rad, either way."""
        return abs(world.joint(f"{self._side}_handle") - self._closed) > _QUARTER

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the side."""
        side = _SIDES[variation]
        return (
            f"turn the {side} tap",
            f"twist the {side} handle of the tap",
            f"grasp the {side} tap handle and turn it by a quarter",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Above the wing, grasp it across, twist."""
        handle = world.pose(f"{self._side}_handle")
        yaw = half_turn(handle.yaw, _LOWEST_YAW)
        above, grasp = handle.at(0, 0, 0.10), handle.at(0, 0, _WING_Z + 0.004)
        turned = yaw + _TURN
        return [
            Keyframe(Pose(above, facing_down(yaw)), True),
            Keyframe(Pose(grasp, facing_down(yaw)), False),
            Keyframe(Pose(grasp, facing_down(turned)), False, linear=True),
        ]
