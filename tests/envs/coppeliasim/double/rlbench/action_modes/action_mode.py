import numpy as np

from rlbench.flavour import FORK

SEEN = []  # every action that came in, as it was


class ActionMode:
    def __init__(self, arm_action_mode, gripper_action_mode):
        self.arm_action_mode, self.gripper_action_mode = arm_action_mode, gripper_action_mode


class MoveArmThenGripper(ActionMode):
    def action(self, scene, action):
        SEEN.append(np.array(action))
        size = np.prod(self.arm_action_mode.action_shape(scene))
        arm, rest = np.array(action[:size]), np.array(action[size:])
        if FORK:
            self.arm_action_mode.action(scene, arm, bool(rest[1:2]))
            rest = rest[:1]
        else:
            self.arm_action_mode.action(scene, arm)
        self.gripper_action_mode.action(scene, rest)

    def action_shape(self, scene):
        return np.prod(self.arm_action_mode.action_shape(scene)) + np.prod(self.gripper_action_mode.action_shape(scene))
