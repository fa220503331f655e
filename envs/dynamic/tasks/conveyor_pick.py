"""Pick the block of the named colour off a running conveyor belt."""

from collections.abc import Sequence

import numpy as np

from envs.dynamic.pick import pick, picked
from envs.dynamic.task import TABLE, Command, DynamicTask, drawn_speed
from envs.rlbench.pose import yaw_pose
from envs.rlbench.world import World

SPEED = (0.06, 0.16)  # m/s, along -y
_X = 0.30  # m: the belt's middle
_HALF = (0.075, 0.46)  # m: half its width and length
_TOP = TABLE + 0.05
_PITCH = 0.05  # m between two slats
_EDGE = 0.017  # m: half a block's edge
_SURFACE = _TOP + _EDGE
_START = (0.26, 0.40)  # m: y of the block behind
_APART = (0.15, 0.19)  # m from it to the one before
_SIDEWAYS = 0.035  # m from the belt's middle, at most


class ConveyorPick(DynamicTask):
    """Two blocks ride along, one behind the other."""

    name = "conveyor_pick"
    graspable = ("block0", "block1")
    hold_s = 0.25

    def scene(self) -> str:
        """A frame with rails, the belt with its slats, and the blocks.

        The belt is a slab on a slide joint. Contacts feel its speed; its position is wrapped by the slats' pitch, so
        that it runs on for ever.
        """
        half_width, half_length = _HALF
        slats = "".join(
            f'<geom class="visual" type="box" size="{half_width} .003 .0005" pos="0 {y:.4f} .0081" '
            'rgba=".36 .37 .40 1"/>'
            for y in np.arange(-half_length + _PITCH / 2, half_length, _PITCH)
        )
        rails = "".join(
            f'<geom class="static" type="box" size=".006 {half_length + 0.03} .026" pos="{x} 0 -.018" '
            'material="steel"/>'
            for x in (-half_width - 0.008, half_width + 0.008)
        )
        ends = "".join(
            f'<geom class="visual" type="box" size="{half_width + 0.002} .026 .012" pos="0 {y} -.004" '
            'material="dark_steel"/>'
            for y in (-half_length - 0.008, half_length + 0.008)
        )
        blocks = "".join(
            f'<body name="block{i}"><freejoint/><geom name="paint{i}" class="object" type="box" '
            f'size="{_EDGE} {_EDGE} {_EDGE}" mass=".08"/></body>'
            for i in range(2)
        )
        return f"""
        <body name="conveyor" pos="{_X} 0 {_TOP - 0.008}">
          <geom class="static" type="box" size="{half_width} {half_length} .014" pos="0 0 -.026" material="dark_steel"/>
          {rails}{ends}
          <body name="belt">
            <joint name="belt" type="slide" axis="0 1 0" armature="50"/>
            <geom class="articulated" type="box" size="{half_width} {half_length} .008" rgba=".56 .57 .58 1" mass="3"/>
            {slats}
          </body>
        </body>{blocks}"""

    def place(self, world: World, rng: np.random.Generator) -> None:
        """The blocks near the belt's beginning; either may be in front."""
        self._speed = drawn_speed(rng, SPEED)
        behind = float(rng.uniform(*_START))
        places = [behind, behind - float(rng.uniform(*_APART))]
        if rng.integers(2):
            places.reverse()
        for i, y in enumerate(places):
            x = _X + float(rng.uniform(-_SIDEWAYS, _SIDEWAYS))
            world.place(f"block{i}", yaw_pose(x, y, _SURFACE))

    def drive(self, world: World, seconds: float) -> None:
        """Keeps the belt at its speed."""
        belt = world.model.joint("belt")
        world.data.qvel[belt.dofadr[0]] = -self._speed
        if world.data.qpos[belt.qposadr[0]] < -_PITCH / 2:
            world.data.qpos[belt.qposadr[0]] += _PITCH

    def achieved(self, world: World) -> bool:
        """The named block is held 10 cm over the belt."""
        return picked(world, "block0", _SURFACE)

    def lost(self, world: World) -> bool:
        """It fell off the belt."""
        return bool(world.pose("block0").position[2] < _SURFACE - 0.02)

    def instructions(self, color: str) -> Sequence[str]:
        """Names the colour."""
        return (f"pick the {color} block off the conveyor", f"pick up the {color} block from the moving belt")

    def expert(self, world: World) -> Command:
        """See `pick`."""
        return pick(world, "block0", np.array([0.0, -self._speed, 0.0]), _SURFACE)
