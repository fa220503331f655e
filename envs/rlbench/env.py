"""The embedded RLBench back end: keyframe control on MuJoCo."""

import hashlib
import time
from collections.abc import Iterator

import mujoco
import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy.spatial.transform import Rotation

from envs.rlbench.blueprint import compile_world
from envs.rlbench.controller import TICK_HZ, Controller, start_posture
from envs.rlbench.facts import keyframe_task
from envs.rlbench.planner import Planner, PlanningError
from envs.rlbench.pose import Pose
from envs.rlbench.render import Cameras
from envs.rlbench.state import FINGER_OPEN, positive, proprioception
from envs.rlbench.studio import Studio
from envs.rlbench.task import Keyframe, PlacementError, Task
from envs.rlbench.world import Quality, World
from envs.spec import Env, Episode, InputError, Observation, SimulatorError, StepInfo, StepResult, TaskSpec
from envs.suite import Suite
from model.actions import GRIPPER, POSITION, QUATERNION, ActionError, check_action

# Raise whenever a change could move a number.
ADAPTER_VERSION = 2
_RESET_ATTEMPTS = 40
_SETTLE_STEPS = 150  # physics steps after placing (RLBench: ten of 0.05 s)
_TICKS_A_CHECK = 3  # of the controller's ticks of 0.02 s (RLBench checks every 0.05 s)
_FRAME_TICKS = 3  # ticks between two video frames: about 17 a second of simulated time


def task_spec(suite: Suite, task: type[Task]) -> TaskSpec:
    """The facts of a task, without opening a simulator."""
    return keyframe_task(suite, task.name, task.variations, "mujoco", mujoco.__version__, ADAPTER_VERSION)


class MujocoEnv(Env):
    """A task of the embedded RLBench.

    One action is a tip pose (world, m, quaternion xyzw) and a gripper state: the arm is driven there along a planned
    path, then the gripper opens (> 0.5) or closes. The episode ends at the first moment of success, or with the first
    action that cannot be planned.

    Attributes:
        spec: See `Env`.
        record_frames: Keep frames of each step's motion, see `take_frames`.
        observing: False saves the rendering of observations, which are empty then; the motion is the same.
        picturing: False saves the pictures alone.
        intermediate_observations: See `take_intermediate`.
    """

    wait_hz = TICK_HZ

    def __init__(self, suite: Suite, task: type[Task]) -> None:
        """Compiles the task's world and opens its cameras.

        Raises:
            InputError: The suite's options do not exist, or there is no off-screen GL.
        """
        self.spec = task_spec(suite, task)
        self.record_frames = False
        self.observing = self.picturing = True
        self.intermediate_observations = 0
        grasp = suite.options["grasp"]
        if grasp not in ("attach", "physical"):
            raise InputError(f"suite option grasp must be 'attach' or 'physical', not {grasp!r}.")
        self._attach = grasp == "attach"
        self._task_class = task
        self._world = compile_world(task, Quality(samples=suite.options["multisampling"]))
        self._planner = Planner(self._world)
        self._start = start_posture(self._planner.kinematics)
        # Now, not with the first observation: where GL is missing a run must end before it has begun.
        self._cameras: Cameras | None = Cameras(self._world, suite.image_size, suite.image_size)
        self._studio = Studio(task, self._world)
        self._frames: list[np.ndarray] = []
        self._intermediate: list[Observation] = []
        self._episode: Episode | None = None
        self._seconds: dict[str, float] = {}

    # -- the episode ---------------------------------------------------------------------------------------------

    def reset(self, episode: Episode) -> Observation:
        """See `Env.reset`. Placements whose expert keyframes are out of reach are drawn again, as RLBench does."""
        if not 0 <= episode.variation < self.spec.variations:
            raise InputError(f"{self.spec.task} has variations 0..{self.spec.variations - 1}, not {episode.variation}.")
        key = hashlib.sha256(f"{self.spec.task}/{episode.variation}/{episode.seed}".encode()).digest()
        rng = np.random.default_rng(np.frombuffer(key, dtype=np.uint32))
        self._episode = episode
        for _ in range(_RESET_ATTEMPTS):
            if self._try_reset(episode, rng):
                break
        else:
            raise SimulatorError(f"no solvable placement in {_RESET_ATTEMPTS} attempts for {episode.id}")
        sentences = self._task.instructions(episode.variation)
        self._instruction = sentences[int(rng.integers(len(sentences)))]
        self._steps, self._expert_steps = 0, 0
        self._seconds = {}
        self._frames, self._intermediate = [], []
        return self._observe()

    def _try_reset(self, episode: Episode, rng: np.random.Generator) -> bool:
        world = self._world
        world.restore()
        self._controller = Controller(world, self._attach)
        self._controller.place(self._start)
        self._task = self._task_class()
        try:
            self._task.place_root(world, rng)
            self._task.place(world, episode.variation, rng)
        except PlacementError:
            return False
        world.forward()
        world.step(_SETTLE_STEPS)
        world.forward()
        self._task.start(world)
        self._keyframes = self._task.expert(world)
        return self._planner.follows(self._keyframes, self._start) and not self._task.success(world)

    def step(self, action: Float32[np.ndarray, "128"]) -> StepResult:
        """See `Env.step`."""
        episode = self._need_episode()
        self._seconds = {"planning": 0.0, "physics": 0.0, "rendering": 0.0}
        self._frames, self._intermediate = [], []
        try:
            check_action(action, self.spec.embodiment)
        except ActionError as error:
            return self._failed(str(error), planner=False)
        action = np.asarray(action, dtype=float)
        quaternion = action[QUATERNION] / np.linalg.norm(action[QUATERNION])
        target = Pose(action[POSITION], Rotation.from_quat(quaternion))
        begin = time.perf_counter()
        try:
            path = self._planner.plan(target, seed=episode.seed * 1000 + self._steps + 1)
        except PlanningError as error:
            return self._failed(str(error), planner=True)
        finally:
            self._seconds["planning"] += time.perf_counter() - begin
        done = self._run(self._controller.follow(path, self._planner.kinematics.tip), self._intermediate_marks())
        if not done:
            done = self._run(self._controller.grip(bool(action[GRIPPER] > 0.5)), [])
        if not np.isfinite(self._world.data.qpos).all():
            raise SimulatorError("the physics diverged")
        self._steps += 1
        return StepResult(self._observe(), done, StepInfo(success=done, seconds=self._seconds))

    def wait(self, ticks: int) -> tuple[bool, StepInfo]:
        """See `Env.wait`: the servos keep their targets, what else moves moves on, and success is looked for."""
        self._need_episode()
        self._seconds = {"planning": 0.0, "physics": 0.0, "rendering": 0.0}
        self._frames, self._intermediate = [], []
        done = self._run(self._controller.stand(ticks), [])
        if not np.isfinite(self._world.data.qpos).all():
            raise SimulatorError("the physics diverged")
        return done, StepInfo(success=done, seconds=self._seconds)

    def _run(self, motion: Iterator[float], marks: list[float]) -> bool:
        """Plays a motion; true as soon as the task succeeds."""
        begin, rendered = time.perf_counter(), self._seconds["rendering"]
        succeeded = any(self._after_tick(tick, share, marks) for tick, share in enumerate(motion)) or self._check()
        elapsed = time.perf_counter() - begin
        self._seconds["physics"] += elapsed - (self._seconds["rendering"] - rendered)
        return succeeded

    def _after_tick(self, tick: int, share: float, marks: list[float]) -> bool:
        """Takes the pictures that are due, and says whether the task was seen to succeed."""
        if self.record_frames and tick % _FRAME_TICKS == 0:
            begin = time.perf_counter()
            self._frames.append(self.render())
            self._seconds["rendering"] += time.perf_counter() - begin
        while marks and share >= marks[0]:
            marks.pop(0)
            self._intermediate.append(self._observe())
        return tick % _TICKS_A_CHECK == 0 and self._check()

    def _check(self) -> bool:
        self._task.update(self._world)
        return self._task.success(self._world)

    def _intermediate_marks(self) -> list[float]:
        count = self.intermediate_observations
        return [(k + 1) / (count + 1) for k in range(count)]

    def _failed(self, reason: str, planner: bool) -> StepResult:
        self._steps += 1
        info = StepInfo(failure=reason, planner_failure=planner, seconds=self._seconds)
        return StepResult(self._observe(), True, info)

    # -- observation ---------------------------------------------------------------------------------------------

    def _observe(self) -> Observation:
        if not self.observing:
            return {}
        begin = time.perf_counter()
        world = self._world
        assert self._cameras is not None, "the environment is closed"
        cameras = self.spec.cameras if self.picturing else ()
        images = {camera.name: self._cameras.image(camera.name) for camera in cameras}
        tip, fingers = world.tip, world.fingers
        opened = 1.0 if fingers[0] > 0.95 * FINGER_OPEN else 0.0
        pose = np.concatenate([tip.position, tip.rotation.as_quat()])
        state = proprioception(opened, fingers, pose, world.arm, self._steps, self.spec.max_steps)
        self._seconds["rendering"] = self._seconds.get("rendering", 0.0) + time.perf_counter() - begin
        return {"images": images, "proprioception": state, "instruction": self._instruction}

    def render(self, height: int = 480, width: int = 640) -> UInt8[np.ndarray, "h w 3"]:
        """A picture with shadows from the studio camera."""
        return self.picture("studio", height, width)

    def picture(self, camera: str, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        """A picture for people from any camera: multisampling and shadows, unlike the observation."""
        return self._studio.picture(camera, height, width)

    def take_frames(self) -> list[UInt8[np.ndarray, "h w 3"]]:
        """Frames of the last step's motion; empty unless `record_frames` is set."""
        return self._frames

    def take_intermediate(self) -> list[Observation]:
        """Observations at evenly spaced shares of the last step's arm motion, `intermediate_observations` of them."""
        return self._intermediate

    # -- for the analysis of failures ----------------------------------------------------------------------------

    @property
    def world(self) -> World:
        """The scene as it is."""
        return self._world

    @property
    def task(self) -> Task:
        """The task of the running episode."""
        return self._task

    @property
    def keyframes(self) -> tuple[Keyframe, ...]:
        """The expert's keyframes for the state that the episode started from."""
        return tuple(self._keyframes)

    @property
    def gripper_open(self) -> bool:
        """Whether the gripper was last told to open."""
        return self._controller.open

    def native(self, keyframe: Keyframe) -> Float[np.ndarray, "8"]:
        """A keyframe as the action that a policy would give: x y z (m), quaternion xyzw, gripper."""
        return self.spec.embodiment.decode(self._encode(keyframe))

    # -- the rest ------------------------------------------------------------------------------------------------

    def expert_action(self) -> Float32[np.ndarray, "128"]:
        """The expert's next keyframe; after the last one it holds still."""
        if self._expert_steps >= len(self._keyframes):
            return self.hold_action()
        keyframe = self._keyframes[self._expert_steps]
        self._expert_steps += 1
        return self._encode(keyframe)

    def on_the_way(self, careful: bool) -> bool:
        """Whether the keyframe that `expert_action` gave last only leads to the next.

        It neither grips, lets go, backs off after that nor ends the plan.

        Args:
            careful: Leave out what is on a straight line, too: it may push, or carry through a narrow place.
        """
        last, plan = self._expert_steps - 1, self._keyframes
        if not 0 <= last < len(plan) - 1:
            return False
        if careful and (plan[last].linear or (plan[last + 1].linear and not plan[last].open)):
            return False
        # The gripper starts open; a keyframe just after a change lifts what was gripped, or leaves what was let go.
        states = [True, True, *(keyframe.open for keyframe in plan[: last + 1])]
        return states[-1] == states[-2] == states[-3]

    def hold_action(self) -> Float32[np.ndarray, "128"]:
        """The present tip pose and gripper state.

        Raises:
            RuntimeError: Before the first reset.
        """
        self._need_episode()
        return self._encode(Keyframe(self._world.tip, self._controller.open))

    def _encode(self, keyframe: Keyframe) -> Float32[np.ndarray, "128"]:
        native = [*keyframe.pose.position, *positive(keyframe.pose.rotation.as_quat()), float(keyframe.open)]
        return self.spec.embodiment.encode(np.array(native, dtype=np.float32))

    def _need_episode(self) -> Episode:
        if self._episode is None:
            raise RuntimeError("reset the environment first")
        return self._episode

    def close(self) -> None:
        """See `Env.close`."""
        if self._cameras is not None:
            self._cameras.close()
            self._cameras = None
        self._studio.close()
