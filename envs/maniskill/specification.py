"""A task's facts, without the simulator."""

from envs.maniskill import install
from envs.maniskill.cameras import camera
from envs.maniskill.control import CONTROL_HZ
from envs.maniskill.end_effector import make_control
from envs.maniskill.observe import names
from envs.maniskill.settings import Settings
from envs.spec import TaskSpec
from envs.suite import Suite

# Raise whenever a change could move a number.
ADAPTER_VERSION = 1


def task_spec(suite: Suite, settings: Settings, sim: str) -> TaskSpec:
    """The facts of a task.

    Raises:
        InputError: The packages are missing.
    """
    control = make_control(settings.options, settings.task.arms)
    return TaskSpec(
        suite=suite.name,
        task=settings.task.name,
        cameras=tuple(camera(name, settings.size) for name in settings.cameras),
        proprioception=names(settings.task.arms, settings.options.object_state),
        convention=control.convention,
        control_hz=CONTROL_HZ,
        max_steps=suite.max_steps,
        success_rule=suite.success_rule,
        variations=1,
        simulator=sim,
        simulator_version=install.version(),
        adapter_version=ADAPTER_VERSION,
        action_low=control.low,
        action_high=control.high,
    )
