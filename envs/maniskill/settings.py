"""What a suite's file chooses about ManiSkill. All of it is part of the protocol."""

from dataclasses import dataclass, fields
from typing import Any

from envs.maniskill import cameras
from envs.maniskill.tasks import TASKS, WRIST_ROBOT, Task
from envs.spec import InputError
from envs.suite import Suite, nearest

CONTROLS = ("joints", "eef", "delta_eef")
ROBOTS = ("default", WRIST_ROBOT)


@dataclass(frozen=True)
class Options:
    """The entries of a suite's `options`; all must be there.

    Attributes:
        control: "joints": absolute joint positions; "eef": poses of the end effector; "delta_eef": its displacements
            (the latter two for one arm only).
        joint_speed: Of "joints": how fast a joint goes towards its commanded position, at most, rad/s; None for at
            once, as ManiSkill does.
        robot: "default": each task's own; "panda_wristcam": an arm with a wrist camera in every task.
        object_state: Whether the poses of the objects and of the goal are in the proprioception (for one arm only):
            what a policy could do that sees perfectly.
        goal_marker: Whether the cameras see the marker of the goal, where a task has one.
        light_meshes: Whether the robot's visual meshes are decimated, which is several times faster.
        steps_after_success: Actions that an episode goes on for after the first success, so that it shows whether the
            success lasts; 0 ends it at once.
    """

    control: str
    joint_speed: float | None
    robot: str
    object_state: bool
    goal_marker: bool
    light_meshes: bool
    steps_after_success: int


@dataclass(frozen=True)
class Settings:
    """A task as the suite wants it.

    Attributes:
        task: The task.
        options: The suite's options.
        cameras: Names of the cameras.
        size: Height and width of each image, pixels.
    """

    task: Task
    options: Options
    cameras: tuple[str, ...]
    size: int

    @property
    def robots(self) -> tuple[str, ...]:
        """ManiSkill's name of the robot of each arm."""
        return self.task.robots if self.options.robot == "default" else (self.options.robot,) * self.task.arms


def read_settings(suite: Suite, task: str) -> Settings:
    """Reads and checks what the suite's file says.

    Raises:
        InputError: An unknown task, camera or option, or a combination that there is not.
    """
    if task not in TASKS:
        raise InputError(f"there is no adapter for ManiSkill's task {task!r}.{nearest(task, TASKS)}")
    settings = Settings(TASKS[task], _options(suite), suite.cameras, suite.image_size)
    if suite.tasks[task] != 1:
        raise InputError(f"ManiSkill's tasks have one variation, not {suite.tasks[task]}: correct the suite's file.")
    _check_cameras(settings)
    if settings.options.object_state and settings.task.arms > 1:
        raise InputError("there is no object state of the tasks with two arms: set object_state to false.")
    if settings.options.control != "joints" and settings.task.arms > 1:
        raise InputError("two arms are controlled by joint positions: set control to joints in the suite's options.")
    return settings


def _options(suite: Suite) -> Options:
    given: dict[str, Any] = suite.options
    known = [f.name for f in fields(Options)]
    for name in given:
        if name not in known:
            raise InputError(f"suite {suite.name!r}: unknown option {name!r}.{nearest(name, known)}")
    for name in known:
        if name not in given:
            raise InputError(f"suite {suite.name!r}: option {name!r} is missing. Add it to the suite's file.")
    options = Options(**given)
    for name, allowed in (("control", CONTROLS), ("robot", ROBOTS)):
        if getattr(options, name) not in allowed:
            raise InputError(f"suite {suite.name!r}: option {name} must be one of {', '.join(allowed)}.")
    for name in ("object_state", "goal_marker", "light_meshes"):
        if not isinstance(getattr(options, name), bool):
            raise InputError(f"suite {suite.name!r}: option {name} must be true or false.")
    speed = options.joint_speed
    if speed is not None and (isinstance(speed, bool) or not isinstance(speed, int | float) or speed <= 0):
        raise InputError(f"suite {suite.name!r}: option joint_speed must be null, or above 0 (rad/s).")
    wait = options.steps_after_success
    if not isinstance(wait, int) or isinstance(wait, bool) or wait < 0:
        raise InputError(f"suite {suite.name!r}: option steps_after_success must be a number of actions, at least 0.")
    return options


def _check_cameras(settings: Settings) -> None:
    known = cameras.ONE_ARM if settings.task.arms == 1 else cameras.TWO_ARMS
    for camera in settings.cameras:
        if camera not in known:
            raise InputError(f"{settings.task.name} has no camera {camera!r}.{nearest(camera, known)}")
    if "wrist" in settings.cameras and settings.robots[0] != WRIST_ROBOT:
        raise InputError(
            f"the robot of {settings.task.name} has no wrist camera: set robot to {WRIST_ROBOT} in the suite's "
            "options, or leave the camera out."
        )
