"""What both back ends declare of a task: cameras, proprioception, meaning and range of actions."""

from envs.rlbench import lab
from envs.rlbench.state import PROPRIOCEPTION
from envs.spec import TaskSpec
from envs.suite import Suite
from model.actions import KEYFRAME_EEF


def keyframe_task(
    suite: Suite, task: str, variations: int, simulator: str, simulator_version: str, adapter_version: int
) -> TaskSpec:
    """The facts of a task under keyframe control.

    Args:
        suite: The suite.
        task: Task name.
        variations: Number of its variations.
        simulator: Name of the back end.
        simulator_version: Its version.
        adapter_version: Raised whenever a change of the back end could move a number.
    """
    return TaskSpec(
        suite=suite.name,
        task=task,
        cameras=tuple(lab.camera(name, suite.image_size) for name in suite.cameras),
        proprioception=PROPRIOCEPTION,
        convention=KEYFRAME_EEF,
        control_hz=None,
        max_steps=suite.max_steps,
        success_rule=suite.success_rule,
        variations=variations,
        simulator=simulator,
        simulator_version=simulator_version,
        adapter_version=adapter_version,
        action_low=(*map(float, lab.TARGET_LOW), -1.0, -1.0, -1.0, -1.0, 0.0),
        action_high=(*map(float, lab.TARGET_HIGH), 1.0, 1.0, 1.0, 1.0, 1.0),
    )
