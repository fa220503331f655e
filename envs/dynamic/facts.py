"""What the suite declares of a task: cameras, proprioception, meaning and range of actions."""

import mujoco

from envs.dynamic.cameras import camera
from envs.dynamic.servo import CONTROL_HZ, TARGET_HIGH, TARGET_LOW
from envs.dynamic.task import DynamicTask
from envs.rlbench.state import PROPRIOCEPTION as WITH_TIME
from envs.spec import TaskSpec
from envs.suite import Suite
from model.actions import POSITION_EEF

# Raise whenever a change could move a number.
ADAPTER_VERSION = 3
# Positions alone, and no clock: with the time since the start, a place would tell a speed.
PROPRIOCEPTION = WITH_TIME[: WITH_TIME.index("time")]


def task_spec(suite: Suite, task: type[DynamicTask]) -> TaskSpec:
    """The facts of a task, without opening a simulator.

    Raises:
        InputError: The suite names a camera that there is not.
    """
    return TaskSpec(
        suite=suite.name,
        task=task.name,
        cameras=tuple(camera(name, suite.image_size) for name in suite.cameras),
        proprioception=PROPRIOCEPTION,
        convention=POSITION_EEF,
        control_hz=CONTROL_HZ,
        max_steps=suite.max_steps,
        success_rule=suite.success_rule,
        variations=task.variations,
        simulator="mujoco",
        simulator_version=mujoco.__version__,
        adapter_version=ADAPTER_VERSION,
        action_low=(*map(float, TARGET_LOW), -1.0, -1.0, -1.0, -1.0, 0.0),
        action_high=(*map(float, TARGET_HIGH), 1.0, 1.0, 1.0, 1.0, 1.0),
    )
