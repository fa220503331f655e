"""Pick the puck of the named colour off a turning table."""

from collections.abc import Sequence

import numpy as np

from envs.dynamic.pick import pick, picked
from envs.dynamic.task import TABLE, Command, DynamicTask, drawn_speed
from envs.rlbench.pose import yaw_pose
from envs.rlbench.world import World

SPEED = (0.5, 1.3)  # rad/s, counter-clockwise as seen from above
_CENTRE = np.array([0.30, 0.0])  # m
_RADIUS = 0.17  # m
_TOP = TABLE + 0.05
_PUCK = (0.017, 0.02)  # m: radius, half the height
_SURFACE = _TOP + _PUCK[1]
_FROM_CENTRE = (0.105, 0.14)  # m
_APART = (0.6 * np.pi, 1.4 * np.pi)  # rad between the pucks


class TurntablePick(DynamicTask):
    """Two pucks ride on a disc."""

    name = "turntable_pick"
    graspable = ("puck0", "puck1")
    hold_s = 0.25

    def scene(self) -> str:
        """A pedestal, the disc with marks on it, and the pucks."""
        marks = "".join(
            '<geom class="visual" type="box" size=".02 .003 .0005" rgba=".55 .57 .6 1" '
            f'pos="{0.145 * np.cos(a):.4f} {0.145 * np.sin(a):.4f} .0081" euler="0 0 {a:.4f}"/>'
            for a in np.linspace(0, 2 * np.pi, 12, endpoint=False)
        )
        pucks = "".join(
            f'<body name="puck{i}"><freejoint/><geom name="paint{i}" class="object" type="cylinder" '
            f'size="{_PUCK[0]} {_PUCK[1]}" mass=".08"/></body>'
            for i in range(2)
        )
        x, y = _CENTRE
        return f"""
        <body name="pedestal" pos="{x} {y} {TABLE}">
          <geom class="static" type="cylinder" size=".10 .016" pos="0 0 .016" material="dark_steel"/>
        </body>
        <body name="turntable" pos="{x} {y} {_TOP - 0.008}">
          <joint name="turntable" type="hinge" axis="0 0 1" armature="5"/>
          <geom class="articulated" type="cylinder" size="{_RADIUS} .008" rgba=".83 .84 .86 1" mass="3"/>{marks}
          <geom class="visual" type="cylinder" size=".02 .0006" pos="0 0 .0082" material="dark_steel"/>
        </body>{pucks}"""

    def place(self, world: World, rng: np.random.Generator) -> None:
        """The pucks anywhere on a ring, far apart."""
        self._speed = drawn_speed(rng, SPEED)
        angle = float(rng.uniform(-np.pi, np.pi))
        for i, turn in enumerate((angle, angle + float(rng.uniform(*_APART)))):
            x, y = _CENTRE + rng.uniform(*_FROM_CENTRE) * np.array([np.cos(turn), np.sin(turn)])
            world.place(f"puck{i}", yaw_pose(float(x), float(y), _SURFACE))

    def drive(self, world: World, seconds: float) -> None:
        """Keeps the disc at its speed."""
        world.data.qvel[world.model.joint("turntable").dofadr[0]] = self._speed

    def achieved(self, world: World) -> bool:
        """The named puck is held 10 cm over the disc."""
        return picked(world, "puck0", _SURFACE)

    def lost(self, world: World) -> bool:
        """It fell off the disc."""
        return bool(world.pose("puck0").position[2] < _SURFACE - 0.02)

    def instructions(self, color: str) -> Sequence[str]:
        """Names the colour."""
        return (f"pick the {color} puck off the turntable", f"pick up the {color} puck from the turning disc")

    def expert(self, world: World) -> Command:
        """See `pick`."""
        x, y = world.pose("puck0").position[:2] - _CENTRE
        return pick(world, "puck0", self._speed * np.array([-y, x, 0.0]), _SURFACE)
