"""MJCF of the room: table, floor, wall, lights, cameras, at RLBench's measured poses."""

from collections.abc import Iterable

import numpy as np
from scipy.spatial.transform import Rotation

from envs.rlbench import panda
from envs.rlbench.textures import png
from envs.spec import Camera

TABLE_TOP = 0.750  # m
WORKSPACE_Z = 0.752  # m: task roots are put here
# Task roots must fit x and y into this rectangle (m, world).
WORKSPACE_LOW = np.array([-0.075, -0.455])
WORKSPACE_HIGH = np.array([0.575, 0.455])
# Targets of the end effector must lie strictly inside this box (m, world).
TARGET_LOW = np.array([-0.275, -0.655, 0.752])
TARGET_HIGH = np.array([0.775, 0.655, 1.752])

# name: position (m), columns (right, up, backward) of the camera in the world, vertical field of view (degrees)
_CAMERAS = {
    "left_shoulder": (
        (-0.175, 0.200, 1.980),
        ((-0.17365, -0.98481, 0), (0.89254, -0.15738, 0.42262), (-0.41620, 0.07339, 0.90631)),
        40,
    ),
    "right_shoulder": (
        (-0.175, -0.200, 1.980),
        ((0.17365, -0.98481, 0), (0.89254, 0.15738, 0.42262), (-0.41620, -0.07339, 0.90631)),
        40,
    ),
    "overhead": ((-0.175, 0, 2.430), ((0, -1, 0), (0.90631, 0, 0.42262), (-0.42262, 0, 0.90631)), 40),
    "front": ((1.350, 0, 1.580), ((0, 1, 0), (-0.42262, 0, 0.90631), (0.90631, 0, 0.42262)), 40),
}
_WRIST = ((0.305, -0.006, 1.573), ((0, -1, 0), (0.98800, 0, 0.15444), (-0.15444, 0, 0.98800)), 60)


def camera(name: str, size: int) -> Camera:
    """A camera's calibration. The wrist camera's is in the tip frame, from the measured start poses of both."""
    position, axes, fov = _WRIST if name == "wrist" else _CAMERAS[name]
    rotation, origin, mount = Rotation.from_matrix(np.array(axes).T), np.array(position), "world"
    if name == "wrist":
        tip = Rotation.from_quat(panda.START_QUATERNION)
        origin, rotation, mount = tip.inv().apply(origin - panda.START_POSITION), tip.inv() * rotation, "eef"
    x, y, z = (round(float(value), 6) for value in origin)
    qx, qy, qz, qw = (round(float(value), 6) for value in rotation.as_quat(canonical=True))
    return Camera(name, size, size, float(fov), mount, (x, y, z), (qx, qy, qz, qw))


def camera_xml(name: str) -> str:
    """MJCF of a camera in the frame it is mounted on."""
    facts = camera(name, 1)
    quaternion = np.roll(facts.quaternion, 1)  # MuJoCo wants wxyz
    return f'<camera name="{name}" pos="{_vec(facts.position)}" quat="{_vec(quaternion)}" fovy="{facts.fov}"/>'


def lab_assets() -> tuple[str, dict[str, bytes]]:
    """MJCF `<asset>` entries of the room, and their texture files."""
    xml = """
      <texture name="wood" type="2d" file="wood.png"/>
      <texture name="tiles" type="2d" file="tiles.png"/>
      <texture name="panels" type="2d" file="panels.png"/>
      <material name="wood" texture="wood" texrepeat="2 1" specular=".2" shininess=".3"/>
      <material name="tiles" texture="tiles" texrepeat="12 12" specular=".1"/>
      <material name="panels" texture="panels" texrepeat="6 3" specular=".1"/>
      <material name="steel" rgba=".62 .64 .67 1" specular=".6" shininess=".7"/>
      <material name="dark_steel" rgba=".27 .28 .31 1" specular=".4" shininess=".5"/>
    """
    pictures = {"wood": _wood, "tiles": _tiles, "panels": _panels}
    return xml, {f"{name}.png": png(draw().clip(0, 255).astype(np.uint8)) for name, draw in pictures.items()}


def lab_bodies() -> str:
    """MJCF of the room's bodies, lights and fixed cameras."""
    legs = "".join(
        f'<geom class="visual" type="box" size=".03 .03 .35" pos="{x} {y} .35" material="dark_steel"/>'
        for x in (-0.45, 1.05)
        for y in (-0.5, 0.5)
    )
    cameras = "".join(camera_xml(name) for name in _CAMERAS)
    return f"""
      <light directional="true" pos="0 0 4" dir=".25 .15 -1" diffuse=".48 .47 .45" specular=".15 .15 .15"
             castshadow="true"/>
      <light directional="true" pos="2 0 4" dir="-.7 -.2 -.8" diffuse=".28 .29 .31" specular=".05 .05 .05"
             castshadow="false"/>
      <geom name="floor" type="plane" class="static" size="4 4 .1" material="tiles"/>
      <geom class="visual" type="box" size=".02 4 1.8" pos="-2.53 0 1.8" material="panels"/>
      <geom name="table" class="static" type="box" size=".8 .55 .025" pos=".3 0 .725" material="wood"/>
      {legs}{cameras}
      <camera name="studio" pos="1.85 .5 1.92" xyaxes="-0.2791 0.9602 0 -0.4037 -0.1174 0.9073" fovy="42"/>
    """


def _wood() -> np.ndarray:
    rng = np.random.default_rng(1)
    height, width = 128, 256
    x = np.linspace(0, 1, width)[None, :]
    y = np.linspace(0, 1, height)[:, None]
    plank = np.floor(y * 4)
    tone = rng.normal(0, 0.04, 4)[plank.astype(int).clip(0, 3)]
    phase = rng.uniform(0, 6, 4)[plank.astype(int).clip(0, 3)]
    grain = np.sin(60 * y + 4 * np.sin(2 * np.pi * x + phase) + phase) * 0.035
    value = 0.86 + tone + grain + rng.normal(0, 0.012, (height, width))
    value = np.where((y * 4) % 1 < 0.03, value * 0.8, value)
    return value[..., None] * np.array([205, 170, 128])


def _tiles() -> np.ndarray:
    tile = np.full((64, 64), 0.88) + np.random.default_rng(2).normal(0, 0.008, (64, 64))
    tile[:2], tile[:, :2] = 0.72, 0.72
    return tile[..., None] * np.array([235, 235, 230])


def _panels() -> np.ndarray:
    panel = np.full((64, 64), 0.9)
    panel[:2], panel[:, :2] = 0.75, 0.75
    return panel[..., None] * np.array([62, 104, 110])


def _vec(values: Iterable[float]) -> str:
    return " ".join(f"{value:.6g}" for value in values)
