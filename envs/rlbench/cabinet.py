"""The chest of three drawers that open_drawer and put_item_in_drawer share."""

import numpy as np

from envs.rlbench.pose import Pose
from envs.rlbench.task import Keyframe, approach
from envs.rlbench.world import World

DRAWERS = ("bottom", "middle", "top")
_OPENED = 0.15  # m a drawer must move to count as open
_HANDLE_Z = {"bottom": 0.163, "middle": 0.283, "top": 0.403}  # m above the table, in the cabinet's frame
# m: z of the sensors' middles in the cabinet's frame, and their y in the drawers'.
_SENSOR_Z, _SENSOR_Y = {"bottom": 0.1475, "middle": 0.2975, "top": 0.3915}, 0.023
_GRASP_Y, _BEFORE_Y = 0.197, 0.282  # m along the opening direction
_WOOD, _FRONT = ".55 .36 .20 1", ".72 .52 .31 1"


def cabinet(x: float = 0.0, y: float = 0.0) -> str:
    """MJCF of the chest; its drawers slide along +y by joints `drawer_<name>`.

    Args:
        x: Position of the chest in its parent, m.
        y: Likewise.
    """
    panels = (
        ("0.012 .1775 .1885", "-.1775 -.005 .279"),
        ("0.012 .1775 .1885", ".1775 -.005 .279"),
        (".1895 .1775 .006", "0 -.005 .461"),
        (".1895 .1775 .006", "0 -.005 .096"),
        (".1655 .1775 .004", "0 -.005 .219"),
        (".1655 .1775 .004", "0 -.005 .339"),
        (".1895 .006 .1885", "0 -.1885 .279"),
    )
    legs = "".join(
        f'<geom class="static" type="box" size=".02 .02 .044" pos="{sx * 0.165} {sy * 0.155 - 0.005} .044"'
        ' rgba=".35 .23 .13 1"/>'
        for sx in (-1, 1)
        for sy in (-1, 1)
    )
    body = "".join(
        f'<geom class="static" type="box" size="{size}" pos="{pos}" rgba="{_WOOD}"/>' for size, pos in panels
    )
    return f'<body name="cabinet" pos="{x} {y} 0">{legs}{body}{"".join(_drawer(name) for name in DRAWERS)}</body>'


def _drawer(name: str) -> str:
    z = _HANDLE_Z[name] - 0.004
    boxes = (
        (".164 .008 .054", "0 .180 0", _FRONT),
        (".158 .165 .003", "0 .005 -.048", _WOOD),
        (".004 .165 .035", "-.154 .005 -.012", _WOOD),
        (".004 .165 .035", ".154 .005 -.012", _WOOD),
        (".158 .004 .035", "0 -.160 -.012", _WOOD),
    )
    geoms = "".join(
        f'<geom class="articulated" type="box" size="{size}" pos="{pos}" mass=".07" rgba="{color}"/>'
        for size, pos, color in boxes
    )
    posts = "".join(
        f'<geom class="articulated" type="cylinder" size=".004 .010" pos="{sx * 0.05} .198 .004" euler="1.5708 0 0"'
        ' mass=".01" material="steel"/>'
        for sx in (-1, 1)
    )
    return f"""
    <body name="drawer_{name}" pos="0 0 {z}">
      <joint name="drawer_{name}" type="slide" axis="0 1 0" range="0 .3" damping="8" frictionloss="1" armature=".1"/>
      {geoms}{posts}
      <geom name="handle_{name}" class="articulated" type="capsule" size=".007 .055" pos="0 .210 .004"
            euler="0 1.5708 0" mass=".05" friction="2 .05 .001" condim="4" material="steel"/>
      <geom name="inside_{name}" class="sensor" type="box" size=".15 .15 .0375"
            pos="0 {_SENSOR_Y} {_SENSOR_Z[name] - z:.4f}"/>
    </body>"""


def pull_open(world: World, drawer: str, distance: float) -> list[Keyframe]:
    """Expert keyframes: in front of the handle, grasp it, pull.

    Args:
        world: The world, with the drawer closed.
        drawer: "bottom", "middle" or "top".
        distance: How far to pull, m.
    """
    cabinet_pose = world.pose("cabinet")
    along = cabinet_pose.rotation.apply([0.0, -1.0, 0.0])
    # One finger above the handle, one below: of the two equivalent rolls the one that keeps the wrist in range.
    rotation = approach(along, (0.0, 0.0, 1.0))
    z = _HANDLE_Z[drawer]
    return [
        Keyframe(Pose(cabinet_pose.at(0, _BEFORE_Y, z), rotation), True),
        Keyframe(Pose(cabinet_pose.at(0, _GRASP_Y, z), rotation), False),
        Keyframe(Pose(cabinet_pose.at(0, _GRASP_Y + distance, z), rotation), False, linear=True),
    ]


def drawer_moved(world: World, drawer: str, start: float) -> bool:
    """Whether a drawer stands more than 0.15 m from where it was."""
    return bool(np.abs(world.joint(f"drawer_{drawer}") - start) > _OPENED)
