"""MJCF of the Franka Panda with its hand. Kinematics and limits are Franka's published figures."""

import numpy as np

from envs.rlbench.meshes import LINKS
from envs.rlbench.state import FINGER_OPEN

# Origin of the robot's first link in the world, metres: on the table.
BASE_POSITION = (-0.270, 0.0, 0.750)
# Tip pose at the start of every episode (measured in RLBench), world frame, quaternion xyzw.
START_POSITION = (0.27847, -0.00815, 1.47191)
START_QUATERNION = (0.0, 0.99267, 0.0, 0.12087)
START_GUESS = (0.0, 0.175, 0.0, -0.873, 0.0, 1.222, 0.785)
JOINT_NAMES = tuple(f"panda_joint{i}" for i in range(1, 8))
FINGER_NAMES = ("panda_finger_left", "panda_finger_right")

# (position, quaternion wxyz) of each link in its parent, joint range (rad), torque limit (N m), gain (N m / rad).
_H = 0.70710678
_CHAIN = (
    ((0, 0, 0.333), (1, 0, 0, 0), (-2.8973, 2.8973), 87, 4500),
    ((0, 0, 0), (_H, -_H, 0, 0), (-1.7628, 1.7628), 87, 4500),
    ((0, -0.316, 0), (_H, _H, 0, 0), (-2.8973, 2.8973), 87, 3500),
    ((0.0825, 0, 0), (_H, _H, 0, 0), (-3.0718, -0.0698), 87, 3500),
    ((-0.0825, 0.384, 0), (_H, -_H, 0, 0), (-2.8973, 2.8973), 12, 2000),
    ((0, 0, 0), (_H, _H, 0, 0), (-0.0175, 3.7525), 12, 2000),
    ((0.088, 0, 0), (_H, _H, 0, 0), (-2.8973, 2.8973), 12, 2000),
)
JOINT_LOW = np.array([link[2][0] for link in _CHAIN])
JOINT_HIGH = np.array([link[2][1] for link in _CHAIN])
DAMPING_RATIO_TIME = 0.1  # s: velocity gain over position gain
# Link masses (kg), approximate; the arm is gravity compensated, so they only set its inertia.
_MASSES = (2.7, 2.7, 2.0, 2.1, 3.0, 1.3, 0.7)
_MESH_RGBA = {"link": ".93 .93 .92 1", "hand": ".80 .80 .81 1", "finger": ".20 .21 .23 1"}
# The wrist camera in the tip frame, from the measured poses of camera and tip at the start.
_TIP = 0.1034  # m from the hand's frame to the point between the finger tips


def panda_assets() -> str:
    """MJCF `<asset>` entries for the robot's meshes."""
    parts = (*LINKS, "hand", "finger")
    return "".join(
        f'<mesh name="{part}{kind}" file="{part}{kind}.stl"/>' for part in parts for kind in ("", "_collision")
    )


def panda_body(camera: str = "", meshes: bool = True) -> str:
    """MJCF of the robot's body tree.

    Args:
        camera: MJCF of a camera that moves with the tip, in the tip frame.
        meshes: False leaves all geometry out (a kinematic model for inverse kinematics).
    """
    xml = _hand(camera, meshes)
    for i in reversed(range(7)):
        position, quaternion, (low, high), _, _ = _CHAIN[i]
        xml = (
            f'<body name="link{i + 1}" pos="{_vec(position)}" quat="{_vec(quaternion)}" gravcomp="1">'
            f'<inertial pos="0 0 0" mass="{_MASSES[i]}" diaginertia=".03 .03 .03"/>'
            f'<joint name="{JOINT_NAMES[i]}" axis="0 0 1" range="{low} {high}" damping="1" armature=".3"/>'
            f"{_geoms(f'link{i + 1}', 'link', meshes)}{xml}</body>"
        )
    return f'<body name="link0" pos="{_vec(BASE_POSITION)}">{_geoms("link0", "link", meshes)}{xml}</body>'


def _hand(camera: str, meshes: bool) -> str:
    fingers = ""
    for name, sign in zip(FINGER_NAMES, (1, -1), strict=True):
        rotation = "1 0 0 0" if sign > 0 else "0 0 0 1"
        # One box pad and one box for the finger's body: half the contact cost of the full shape.
        geoms = (
            f'<geom type="mesh" mesh="finger" class="visual" quat="{rotation}" rgba="{_MESH_RGBA["finger"]}"/>'
            f'<geom name="{name}_pad" class="robot" type="box" size=".0105 .004 .0115" pos="0 {sign * 0.004} .0425" '
            'friction="2 .05 .001" solref=".004 1" solimp=".95 .99 .001" condim="4"/>'
            f'<geom name="{name}_body" class="robot" type="box" size=".0105 .006 .021" pos="0 {sign * 0.017} .021"/>'
        )
        fingers += (
            f'<body name="{name}_body" pos="0 0 .0584" gravcomp="1">'
            '<inertial pos="0 0 .03" mass=".05" diaginertia="1e-4 1e-4 1e-4"/>'
            f'<joint name="{name}" type="slide" axis="0 {sign} 0" range="0 {FINGER_OPEN}" damping="20" armature=".5"/>'
            f"{geoms if meshes else ''}</body>"
        )
    return (
        '<body name="hand" pos="0 0 .107" quat=".92387953 0 0 -.38268343" gravcomp="1">'
        '<inertial pos="0 0 .04" mass=".7" diaginertia=".003 .003 .002"/>'
        f"{_geoms('hand', 'hand', meshes)}{fingers}"
        # RLBench's tip frame: between the finger tips, z along the approach, turned half a turn against the hand.
        f'<body name="tip" pos="0 0 {_TIP}" quat="0 0 0 1">'
        f'<inertial pos="0 0 0" mass=".001" diaginertia="1e-6 1e-6 1e-6"/><site name="tip" size=".002" group="5"/>'
        f"{camera}</body></body>"
    )


def panda_actuators() -> str:
    """MJCF `<actuator>` entries: a position servo a joint, and one a finger."""
    xml = ""
    for name, (_, _, limits, torque, gain) in zip(JOINT_NAMES, _CHAIN, strict=True):
        xml += (
            f'<position name="{name}" joint="{name}" kp="{gain}" kv="{gain * DAMPING_RATIO_TIME}" '
            f'forcerange="-{torque} {torque}" ctrlrange="{limits[0] - 0.5} {limits[1] + 0.5}"/>'
        )
    for name in FINGER_NAMES:
        xml += f'<position name="{name}" joint="{name}" kp="10000" kv="100" forcerange="-60 60" ctrlrange="0 .04"/>'
    return xml


def _geoms(part: str, kind: str, meshes: bool) -> str:
    if not meshes:
        return ""
    return (
        f'<geom type="mesh" mesh="{part}" class="visual" rgba="{_MESH_RGBA[kind]}"/>'
        f'<geom name="{part}_collision" type="mesh" mesh="{part}_collision" class="robot"/>'
    )


def _vec(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.9g}" for value in values)
