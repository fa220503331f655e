"""Take the stick and drag the cube with it onto the square of the named colour."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from envs.rlbench.palette import COLOR_NAMES, PALETTE
from envs.rlbench.pose import Pose
from envs.rlbench.task import Keyframe, Task, facing_down, half_turn, raised
from envs.rlbench.world import World

_SQUARES = ((-0.137, -0.154), (0.088, 0.121), (0.088, -0.379), (0.253, -0.153))  # m, root frame; the first is the goal
_CUBE = (0.106, -0.150)
_CUBE_HALF = 0.040
_STICK_LENGTH = 0.36
# The stick leans on the cube: its low end on the table, its high end over the cube.
_STICK_CENTRE = np.array([0.145, -0.021, 0.0585])
_STICK_AXIS = np.array([-0.327, -0.910, 0.250]) / np.linalg.norm([-0.327, -0.910, 0.250])
_GRASP = 0.150  # m from the stick's centre towards its high end
_LEVEL_Z = 0.109  # m: tip height at which the low end is just over the table
_BESIDE_X = 0.185  # m: the stick beside the cube
_DRAG = 0.262  # m


class ReachAndDrag(Task):
    """Variation: palette index of the goal's colour; the other squares take the colours 5, 6 and 7 further on."""

    name = "reach_and_drag"
    variations = 20
    extent = (-0.202, 0.318, -0.444, 0.186)
    graspable = ("stick",)

    def bodies(self) -> str:
        """Four squares, the cube, the stick."""
        squares = "".join(
            f'<geom name="square{i}" class="visual" type="box" size=".065 .065 .0005" pos="{x} {y} -.0012"/>'
            for i, (x, y) in enumerate(_SQUARES)
        )
        x, y = _SQUARES[0]
        return f"""
        <body name="root">{squares}
          <geom name="goal" class="sensor" type="box" size=".05 .05 .005" pos="{x} {y} 0"/>
        </body>
        <body name="cube"><freejoint/>
          <geom class="object" type="box" size=".04 .04 .04" mass=".512" friction=".5 .01 .001" rgba=".60 .42 .25 1"/>
        </body>
        <body name="stick"><freejoint/>
          <geom class="object" type="box" size=".0065 .0065 {_STICK_LENGTH / 2}" mass=".059" rgba=".95 .8 .35 1"/>
        </body>"""

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """Cube and leaning stick stand at their places; the squares take their colours."""
        root = world.pose("root")
        world.place("cube", Pose(root.at(*_CUBE, _CUBE_HALF - 0.001), root.rotation))
        level = np.cross([0.0, 0.0, 1.0], _STICK_AXIS)
        level /= np.linalg.norm(level)
        rotation = Rotation.from_matrix(np.stack([level, np.cross(_STICK_AXIS, level), _STICK_AXIS], axis=1))
        world.place("stick", root * Pose(_STICK_CENTRE, rotation))
        for i, shift in enumerate((0, 5, 6, 7)):
            world.color(f"square{i}", PALETTE[COLOR_NAMES[(variation + shift) % len(COLOR_NAMES)]])

    def success(self, world: World) -> bool:
        """Any part of the cube is in the sensor of the named square; the stick may still be held."""
        return world.in_sensor("cube", "goal")

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the colour."""
        color = COLOR_NAMES[variation]
        return (
            f"use the stick to drag the cube onto the {color} square",
            f"grasp the stick and pull the cube to the {color} target with it",
            f"drag the block onto the {color} area using the stick",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Grasps the stick near its high end, lays it behind the cube, and sweeps."""
        root, stick = world.pose("root"), world.pose("stick")
        axis = stick.rotation.apply([0.0, 0.0, 1.0])
        grasp = stick.position + _GRASP * axis
        # Fingers open across the stick.
        heading = float(np.arctan2(axis[1], axis[0]))
        yaw = half_turn(heading)
        down = facing_down(yaw)
        # Turn the stick so that it lies along the root's y axis, its high end towards -y.
        turn = (root.yaw - np.pi / 2) - heading
        turned = facing_down(yaw + float((turn + np.pi) % (2 * np.pi) - np.pi))
        reach = _CUBE[1] - 0.195
        return [
            Keyframe(Pose(raised(grasp, 0.08), down), True),
            Keyframe(Pose(grasp, down), False),
            Keyframe(Pose(raised(grasp, 0.10), down), False),
            Keyframe(Pose(root.at(_BESIDE_X, reach, _LEVEL_Z + 0.10), turned), False),
            Keyframe(Pose(root.at(_BESIDE_X, reach, _LEVEL_Z), turned), False),
            Keyframe(Pose(root.at(_BESIDE_X - _DRAG, reach, _LEVEL_Z), turned), False, linear=True),
        ]
