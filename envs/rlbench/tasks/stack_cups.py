"""Nest the two other cups in the cup of the named colour."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from envs.rlbench.palette import COLOR_NAMES, PALETTE, others_than
from envs.rlbench.pose import Pose
from envs.rlbench.shapes import lathe
from envs.rlbench.task import Keyframe, PlacementError, Task, facing_down, raised, scatter
from envs.rlbench.world import World

_BASE = "cup2"  # the one that stays
_MOVED = ("cup1", "cup3")
_CUPS = ("cup1", "cup2", "cup3")
# A cup in its own frame, its foot at z = 0. The taper lets cups of one size slide into each other.
_HEIGHT = 0.147  # m
_RIM, _FOOT = 0.0470, 0.034  # m, outer radii at the corners
_WALL, _FLOOR = 0.0025, 0.004  # m
_SIDES = 18
_NESTED = 0.033  # m that a cup stands over the one it is nested in
_SLIPPERY = 'friction=".3 .005 .0001"'  # so that a nested cup slides down instead of jamming
_EXTENT = (-0.208, 0.192, -0.301, 0.299)  # m: the boundary
_MARGIN = 0.048  # m
_GAP = 0.105  # m between two cups' axes, at least: a rim's width and a little more
_FINGER = 0.097  # m from a cup's axis to the finger outside of it
_FINGER_ROOM = 0.08  # m from there to another cup's axis, at least
_TRIES = 50
_GRASP_Z, _GRASP_RADIUS = 0.135, 0.0435  # m: in the middle of the wall, so near the rim that the hand clears stacks
_OVER = 0.08  # m over the grasp
_CARRY = 0.035  # m between a carried cup's foot and the rim under it
_DROP = 0.01  # m a cup falls


class StackCups(Task):
    """Variation: palette index of the colour of the cup that stays; the two others have other colours."""

    name = "stack_cups"
    variations = 20
    extent = _EXTENT
    graspable = _CUPS

    def assets(self) -> str:
        """The cup's surface: outside, rim, inside, floor."""
        outside = [(0.0, 0.0), (_FOOT, 0.0), (_RIM, _HEIGHT)]
        inside = [(_RIM - _WALL, _HEIGHT), (_radius(_FLOOR) - _WALL, _FLOOR), (0.0, _FLOOR)]
        return lathe("cup", outside + inside, _SIDES)

    def bodies(self) -> str:
        """Three cups of one size; the sensor moves with the one that stays."""
        xml = '<body name="root"/>'
        for cup in _CUPS:
            xml += f"""
            <body name="{cup}"><freejoint/>
              <geom name="{cup}" class="visual" type="mesh" mesh="cup"/>
              <geom class="object" type="cylinder" size="{_FOOT - _WALL} {_FLOOR / 2}" pos="0 0 {_FLOOR / 2}"
                    mass=".017" group="3" {_SLIPPERY}/>
              {_tapered_wall(f'class="object" mass=".002" group="3" {_SLIPPERY}')}"""
            if cup == _BASE:
                xml += '<geom name="inside" class="sensor" type="box" size=".02 .02 .05" pos="-.006 -.002 .0625"/>'
            xml += "</body>"
        return xml

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """Scatters the cups upright, not turned, so that a finger has room beside each that is to be moved."""
        root = world.pose("root")
        x0, x1, y0, y1 = _EXTENT
        for _ in range(_TRIES):
            points = scatter(rng, 3, (x0 + _MARGIN, y0 + _MARGIN), (x1 - _MARGIN, y1 - _MARGIN), _GAP)
            for cup, (x, y) in zip(_CUPS, points, strict=True):
                world.place(cup, root * Pose(np.array([x, y, -0.0015]), Rotation.identity()))
            world.forward()
            if all(_free_side(world, cup)[1] > _FINGER_ROOM for cup in _MOVED):
                break
        else:
            raise PlacementError("no room for a finger beside the cups")
        others = others_than(COLOR_NAMES[variation])
        world.color(_BASE, PALETTE[COLOR_NAMES[variation]])
        for cup in _MOVED:
            world.color(cup, PALETTE[others[int(rng.integers(len(others)))]])

    def success(self, world: World) -> bool:
        """Both other cups reach into the cup that stays, and nothing is held."""
        return all(world.in_sensor(cup, "inside") for cup in _MOVED) and world.released

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the colour of the cup that stays."""
        color = COLOR_NAMES[variation]
        return (
            f"stack the other cups in the {color} cup",
            f"put both of the other cups into the {color} one",
            f"nest the cups with the {color} cup at the bottom",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Each cup by its rim, the nearer one first: above, grasp, lift, over the stack, down, up again."""
        base = world.pose(_BASE).position
        keyframes = []
        # Straight lines all the way but the first: an arm that swings around would knock cups over.
        for level, cup in enumerate(sorted(_MOVED, key=lambda cup: np.linalg.norm(world.pose(cup).position - base))):
            # The fingers open along the world's y: as at the start, so the wrist need not turn.
            side, _ = _free_side(world, cup)
            at_rim = np.array([0.0, side * _GRASP_RADIUS, _GRASP_Z])
            grasp, goal = world.pose(cup).position + at_rim, raised(base + at_rim, (level + 1) * _NESTED + _DROP)
            over = raised(base + at_rim, _HEIGHT + level * _NESTED + _CARRY)
            lifted = np.array([grasp[0], grasp[1], over[2]])
            keyframes += [
                _down(raised(grasp, _OVER), True, linear=level > 0),
                _down(grasp, False),
                _down(lifted, False),
                _down(over, False),
                _down(goal, True),
                _down(raised(goal, _OVER), True),
            ]
        return keyframes


def _down(position: Float[np.ndarray, "3"], opened: bool, linear: bool = True) -> Keyframe:
    return Keyframe(Pose(position, facing_down(0.0)), opened, linear)


def _free_side(world: World, cup: str) -> tuple[int, float]:
    """On which side of a cup a finger has more room (the sign of the world's y), and how much (m)."""
    others = np.array([world.pose(other).position[:2] for other in _CUPS if other != cup])
    room = {}
    for side in (1, -1):
        finger = world.pose(cup).position[:2] + np.array([0.0, side * _FINGER])
        room[side] = float(np.linalg.norm(others - finger, axis=1).min())
    side = max(room, key=room.__getitem__)
    return side, room[side]


def _radius(z: float) -> float:
    """Outer radius of a cup at a height over its foot, m."""
    return _FOOT + (_RIM - _FOOT) * z / _HEIGHT


def _tapered_wall(attributes: str) -> str:
    """Leaning boxes in a circle, on the faces of the cup's mesh.

    Args:
        attributes: MJCF attributes of each box.
    """
    lean = np.arctan((_RIM - _FOOT) / _HEIGHT)
    flat = np.cos(np.pi / _SIDES)  # a face is nearer to the axis than a corner
    middle = _radius(_HEIGHT / 2) * flat - _WALL / 2 / np.cos(lean)
    size = f"{_WALL / 2} {_radius(_HEIGHT / 2) * np.sin(np.pi / _SIDES):.5f} {_HEIGHT / 2 / np.cos(lean):.5f}"
    boxes = ""
    for k in range(_SIDES):
        angle = 2 * np.pi * (k + 0.5) / _SIDES
        x, y, z, w = (Rotation.from_euler("z", angle) * Rotation.from_euler("y", lean)).as_quat()
        boxes += (
            f'<geom type="box" size="{size}" pos="{middle * np.cos(angle):.5f} {middle * np.sin(angle):.5f} '
            f'{_HEIGHT / 2}" quat="{w:.6f} {x:.6f} {y:.6f} {z:.6f}" {attributes}/>'
        )
    return boxes
