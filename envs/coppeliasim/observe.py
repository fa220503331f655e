"""RLBench's observations as ours: the same cameras, sizes and proprioception as the embedded back end."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.rlbench.state import proprioception
from envs.spec import Observation

CAMERAS = ("left_shoulder", "right_shoulder", "overhead", "wrist", "front")


def observation_config(cameras: Sequence[str], size: int) -> Any:
    """RLBench's `ObservationConfig` with colour images of these cameras alone, `size` x `size` pixels.

    The renderer is the one of PerAct's evaluation (plain OpenGL), which Mesa's software driver has too.
    """
    from pyrep.const import RenderMode
    from rlbench.observation_config import CameraConfig, ObservationConfig

    views = {
        f"{name}_camera": CameraConfig(
            rgb=name in cameras,
            depth=False,
            point_cloud=False,
            mask=False,
            image_size=(size, size),
            render_mode=RenderMode.OPENGL,
        )
        for name in CAMERAS
    }
    return ObservationConfig(
        **views,
        joint_positions=True,
        joint_velocities=True,  # of no observation, but a demonstration's pauses are found by them
        joint_forces=False,
        gripper_open=True,
        gripper_pose=True,
        gripper_joint_positions=True,
        task_low_dim_state=True,  # of no observation, but it tells whether a demonstration's scene was restored
    )


def switch_cameras(config: Any, cameras: Sequence[str], on: bool) -> None:
    """Turns rendering on or off; takes effect with the next observation."""
    for name in cameras:
        getattr(config, f"{name}_camera").rgb = on


def observe(raw: Any, cameras: Sequence[str], instruction: str, steps: int, max_steps: int) -> Observation:
    """Our observation of RLBench's.

    Args:
        raw: `rlbench.backend.observation.Observation`.
        cameras: Names of the images, in order.
        instruction: The sentence of the episode.
        steps: Actions carried out so far.
        max_steps: Actions an episode.
    """
    images = {name: np.ascontiguousarray(getattr(raw, f"{name}_rgb"), dtype=np.uint8) for name in cameras}
    state = proprioception(
        float(raw.gripper_open),
        np.asarray(raw.gripper_joint_positions, dtype=float),
        np.asarray(raw.gripper_pose, dtype=float),  # x y z, then qx qy qz qw: RLBench's order is ours
        np.asarray(raw.joint_positions, dtype=float),
        steps,
        max_steps,
    )
    return {"images": images, "proprioception": state, "instruction": instruction}
