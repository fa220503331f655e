import numpy as np
from pyrep.backend import sim

from rlbench.backend.observation import Observation
from rlbench.flavour import FORK
from rlbench.observation_config import CAMERAS

LOW, HIGH = np.array([-0.275, -0.655, 0.752]), np.array([0.775, 0.655, 1.752])
MODES = {}  # camera -> render mode, of the cameras that are on when the scene is made


class Scene:
    def __init__(self, pyrep, obs_config):
        self.pyrep, self._obs_config, self.task, self.variation = pyrep, obs_config, None, 0
        MODES.clear()
        for name in CAMERAS:
            camera = getattr(obs_config, f"{name}_camera")
            if camera.rgb:
                MODES[name] = camera.render_mode

    def reset(self):
        sim.world.__init__()

    def step(self):
        self.pyrep.step()

    def check_target_in_workspace(self, position):
        return bool(np.all(position > LOW) and np.all(position < HIGH))

    def get_observation(self):
        config, world = self._obs_config, sim.world
        fields = {}
        for number, name in enumerate(CAMERAS):
            camera = getattr(config, f"{name}_camera")
            image = sim.picture(camera.image_size[1], camera.image_size[0], number) if camera.rgb else None
            fields[f"{name}_rgb"] = None if image is None else np.clip((image * 255.0).astype(np.uint8), 0, 255)
            for kind in ("depth", "mask", "point_cloud"):
                fields[f"{name}_{kind}"] = np.zeros(camera.image_size) if getattr(camera, kind) else None
        opened = 1.0 if world.fingers[0] > (0.95 if FORK else 0.9) * 0.04 else 0.0
        extra = {"ignore_collisions": np.array(1)} if FORK else {}
        return Observation(
            **fields,
            joint_velocities=world.velocities.copy() if config.joint_velocities else None,
            joint_positions=world.joints.copy() if config.joint_positions else None,
            joint_forces=np.zeros(7) if config.joint_forces else None,
            gripper_open=opened if config.gripper_open else None,
            gripper_pose=world.tip.copy() if config.gripper_pose else None,
            gripper_joint_positions=world.fingers.copy() if config.gripper_joint_positions else None,
            misc={} if FORK else {"variation_index": self.variation},
            task_low_dim_state=world.objects() if config.task_low_dim_state else None,
            **extra,
        )
