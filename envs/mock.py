"""A mock simulator: two tasks, numpy only, microseconds a step. The whole stack is tested on it.

The world is a gripper over a table with three coloured objects. `reach`: bring the gripper to the dot of the named
colour. `pick`: close it around the cube of the named colour and lift.

A suite file may ask for faults, so that the runner's answers to them can be tested:

    options:
      step_s: 0.01                 # each step takes this long
      faults:
        crash: [reach/v001/s42]    # the process dies in these episodes; likewise `hang` and `broken`
        once: /some/folder         # only the first time; the folder remembers
"""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from envs.spec import Camera, Env, Episode, InputError, Observation, SimulatorError, StepInfo, StepResult, TaskSpec
from envs.suite import Suite, nearest
from model.actions import GRIPPER, KEYFRAME_EEF, POSITION, QUATERNION

LOW, HIGH = np.array([0.1, -0.4, 0.75]), np.array([0.6, 0.4, 1.3])  # workspace, m
COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 80, 230)}
HOME = np.array([0.3, 0.0, 1.2])
DOWN = np.array([0.0, 1.0, 0.0, 0.0])  # gripper pointing at the table, xyzw
REACH_M = 0.03
LIFT_M = 0.1
LIFT = np.array([0.0, 0.0, LIFT_M])
_PROPRIOCEPTION = (
    *("gripper_open", "finger_left", "finger_right"),
    *("eef_x", "eef_y", "eef_z", "eef_qx", "eef_qy", "eef_qz", "eef_qw"),
    *(f"joint_{k}" for k in range(7)),
    "time",
)
# Camera -> the two world axes that its picture shows, downwards and rightwards.
_VIEWS = {"front": (2, 1), "overhead": (0, 1)}
_FAULTS = ("crash", "hang", "broken")


def task_spec(suite: Suite, task: str, sim: str) -> TaskSpec:
    """The facts of a mock task."""
    for camera in suite.cameras:
        if camera not in _VIEWS:
            raise InputError(f"the mock simulator has no camera {camera!r}.{nearest(camera, _VIEWS)}")
    return TaskSpec(
        suite=suite.name,
        task=task,
        cameras=tuple(Camera(name, suite.image_size, suite.image_size) for name in suite.cameras),
        proprioception=_PROPRIOCEPTION,
        convention=KEYFRAME_EEF,
        control_hz=None,
        max_steps=suite.max_steps,
        success_rule=suite.success_rule,
        variations=suite.tasks[task],
        simulator=sim,
        simulator_version="1",
        adapter_version=1,
        action_low=(*map(float, LOW), -1.0, -1.0, -1.0, -1.0, 0.0),
        action_high=(*map(float, HIGH), 1.0, 1.0, 1.0, 1.0, 1.0),
    )


def make(suite: Suite, task: str, sim: str, options: dict[str, Any]) -> "MockEnv":
    """Builds a mock task; see `envs.suite.Suite.make`."""
    check_options(suite.options | options)
    kinds = {"reach": Reach, "pick": Pick}
    if task not in kinds:
        raise InputError(f"the mock simulator has no task {task!r}: choose one of {', '.join(kinds)}.")
    return kinds[task](task_spec(suite, task, sim), suite.options | options)


def check_options(options: dict[str, Any]) -> None:
    """Raises InputError for an option that there is not."""
    known = ("step_s", "faults")
    for name in options:
        if name not in known:
            raise InputError(f"the mock simulator has no option {name!r}.{nearest(name, known)}")


class MockEnv(Env):
    """What the tasks share."""

    sentence = ""
    wait_hz = 50.0

    def __init__(self, spec: TaskSpec, options: dict[str, Any]) -> None:
        self.spec = spec
        self._step_s = float(options.get("step_s", 0.0))
        self._faults: dict[str, Any] = options.get("faults", {})
        self._episode: Episode | None = None

    def reset(self, episode: Episode) -> Observation:
        """Places three objects on the table, at least 0.12 m apart."""
        if not 0 <= episode.variation < self.spec.variations:
            raise InputError(
                f"{self.spec.task} has variations 0 .. {self.spec.variations - 1}, not {episode.variation}."
            )
        key = f"{episode.suite}/{episode.task}/{episode.variation}/{episode.seed}"
        rng = np.random.default_rng(np.frombuffer(hashlib.sha256(key.encode()).digest(), dtype=np.uint32))
        self._episode = episode
        self._colour = list(COLOURS)[episode.variation]
        self._objects: dict[str, np.ndarray] = {}
        for colour in COLOURS:
            while True:
                place = np.array([*rng.uniform(LOW[:2] + 0.1, HIGH[:2] - 0.1), LOW[2] + 0.02])
                if all(np.linalg.norm(place - other) > 0.12 for other in self._objects.values()):
                    break
            self._objects[colour] = place
        self._position, self._rotation, self._open = HOME.copy(), DOWN.copy(), 1.0
        self._held: str | None = None
        self._steps = 0
        return self._observe()

    def step(self, action: Float32[np.ndarray, "128"]) -> StepResult:
        """Moves the gripper to the pose in a straight line, then opens or closes it."""
        assert self._episode is not None, "reset comes before step"
        start = time.perf_counter()
        self._inject_fault(self._episode)
        time.sleep(self._step_s)
        self._steps += 1
        position = np.asarray(action[POSITION], dtype=float)
        if np.any(position < LOW - 1e-6) or np.any(position > HIGH + 1e-6):
            return StepResult(self._observe(), True, StepInfo(failure="pose out of reach", planner_failure=True))
        self._move(position, np.asarray(action[QUATERNION], dtype=float), float(action[GRIPPER]) > 0.5)
        success = self._solved()
        done = success and self.spec.success_rule == "success_once"
        info = StepInfo(success=success, seconds={"physics": time.perf_counter() - start})
        return StepResult(self._observe(), done, info)

    def wait(self, ticks: int) -> tuple[bool, StepInfo]:
        """Nothing here moves by itself."""
        success = self._solved()
        return success and self.spec.success_rule == "success_once", StepInfo(success)

    def hold_action(self) -> Float32[np.ndarray, "128"]:
        """The pose and opening of now."""
        return self._command(self._position, bool(self._open))

    def render(self, height: int = 480, width: int = 640) -> UInt8[np.ndarray, "h w 3"]:
        """The front view."""
        return self._draw("front", height, width)

    def _move(self, position: np.ndarray, rotation: np.ndarray, opens: bool) -> None:
        self._position, self._rotation = position, rotation / np.linalg.norm(rotation)
        if self._held is not None:
            self._objects[self._held] = position.copy()
        if opens and self._held is not None:
            self._objects[self._held][2] = LOW[2] + 0.02
            self._held = None
        elif not opens and self._open and self._held is None:
            near = [name for name, place in self._objects.items() if np.linalg.norm(place - position) < REACH_M]
            self._held = near[0] if near else None
        self._open = float(opens)

    def _solved(self) -> bool:
        raise NotImplementedError

    def _command(self, position: np.ndarray, opens: bool) -> Float32[np.ndarray, "128"]:
        return self.spec.embodiment.encode(np.array([*position, *self._rotation, float(opens)]))

    def _observe(self) -> Observation:
        progress = min(self._steps / max(self.spec.max_steps - 1, 1), 1.0)
        finger = 0.04 * self._open
        # Not a real arm: joints that follow the gripper are all that the tests need.
        joints = [*(self._position - HOME), *self._rotation]
        numbers = [self._open, finger, finger, *self._position, *self._rotation, *joints, 1.0 - 2.0 * progress]
        cameras = self.spec.cameras if self.picturing else ()
        return {
            "images": {camera.name: self._draw(camera.name, camera.height, camera.width) for camera in cameras},
            "proprioception": np.array(numbers, dtype=np.float32),
            "instruction": self.sentence.format(self._colour),
        }

    def _draw(self, view: str, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        axes = list(_VIEWS[view])
        image = np.full((height, width, 3), (205, 195, 180), dtype=np.uint8)
        dots = [(self._objects[name], colour, 0.05) for name, colour in COLOURS.items()]
        for place, colour, radius in [*dots, (self._position, (30, 30, 30), 0.02 + 0.02 * self._open)]:
            row, column = (place[axes] - LOW[axes]) / (HIGH[axes] - LOW[axes])
            if view == "front":
                row = 1.0 - row  # up is up
            rows, columns = np.mgrid[0:height, 0:width]
            distance = np.hypot((rows + 0.5) / height - row, (columns + 0.5) / width - column)
            image[distance < radius] = colour
        return image

    def _inject_fault(self, episode: Episode) -> None:
        for kind in _FAULTS:
            if episode.id not in self._faults.get(kind, ()):
                continue
            if folder := self._faults.get("once"):
                marker = Path(folder) / f"{kind}-{episode.id.replace('/', '-')}"
                if marker.exists():
                    continue
                marker.touch()
            if kind == "crash":
                os._exit(23)
            if kind == "hang":
                time.sleep(3600)
            raise SimulatorError("a fault that the suite asked for")


class Reach(MockEnv):
    """Bring the gripper to the dot of the named colour."""

    sentence = "reach the {} dot"

    def expert_action(self) -> Float32[np.ndarray, "128"]:
        """Straight to the dot."""
        return self._command(self._objects[self._colour], opens=True)

    def _solved(self) -> bool:
        return bool(np.linalg.norm(self._objects[self._colour] - self._position) < REACH_M)


class Pick(MockEnv):
    """Close the gripper around the cube of the named colour and lift it."""

    sentence = "pick up the {} cube"

    def expert_action(self) -> Float32[np.ndarray, "128"]:
        """Above the cube, down to it, close, lift."""
        cube = self._objects[self._colour]
        if self._held == self._colour:
            return self._command(cube + 2 * LIFT, opens=False)
        if np.linalg.norm(cube - self._position) < REACH_M:
            return self._command(cube, opens=False)
        above = cube + LIFT
        return self._command(cube if np.linalg.norm(above - self._position) < REACH_M else above, opens=True)

    def _solved(self) -> bool:
        return self._held == self._colour and self._position[2] > LOW[2] + 0.02 + LIFT_M
