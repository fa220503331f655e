"""The environment of the suite: dense control at 20 Hz on MuJoCo, in a world that does not wait."""

import hashlib
import time

import numpy as np
from jaxtyping import Float32, UInt8
from scipy.spatial.transform import Rotation

from envs.dynamic.facts import task_spec
from envs.dynamic.servo import CONTROL_HZ, PART_S, Servo
from envs.dynamic.task import COLORS, DynamicTask
from envs.rlbench.blueprint import compile_world
from envs.rlbench.kinematics import Kinematics
from envs.rlbench.pose import Pose
from envs.rlbench.render import Cameras
from envs.rlbench.state import FINGER_OPEN, positive, proprioception
from envs.rlbench.studio import Studio
from envs.rlbench.task import facing_down
from envs.rlbench.world import Quality, World
from envs.spec import Env, Episode, InputError, Observation, SimulatorError, StepInfo, StepResult
from envs.suite import Suite
from model.actions import GRIPPER, POSITION, QUATERNION, ActionError, check_action

_SETTLE_STEPS = 50  # physics steps after placing


class DynamicEnv(Env):
    """A task with moving objects.

    One action is a tip pose (world, m, quaternion xyzw) and a gripper state. The arm goes towards it for 0.05 s
    (`envs.dynamic.servo`), and the objects move on meanwhile. The episode ends with success, or when the object is
    lost. Poses out of reach are no failure: the arm goes as far as it can.

    Attributes:
        spec: See `Env`.
        observing: False saves the rendering of observations, which are empty then; the motion is the same.
        picturing: False saves the pictures alone.
    """

    def __init__(self, suite: Suite, task: type[DynamicTask]) -> None:
        """Compiles the task's world and opens its cameras.

        Raises:
            InputError: The suite's options do not exist, or there is no off-screen GL.
        """
        self.spec = task_spec(suite, task)
        self.observing = self.picturing = True
        grasp = suite.options["grasp"]
        if grasp not in ("attach", "physical"):
            raise InputError(f"suite option grasp must be 'attach' or 'physical', not {grasp!r}.")
        self._attach = grasp == "attach"
        self._task_class = task
        self._world = compile_world(task, Quality(samples=suite.options["multisampling"]))
        self._kinematics = Kinematics()
        # Now, not with the first observation: where GL is missing a run must end before it has begun.
        self._cameras: Cameras | None = Cameras(self._world, suite.image_size, suite.image_size)
        self._studio = Studio(task, self._world)
        self._episode: Episode | None = None

    # -- the episode ---------------------------------------------------------------------------------------------

    def reset(self, episode: Episode) -> Observation:
        """See `Env.reset`."""
        if not 0 <= episode.variation < self.spec.variations:
            raise InputError(f"{self.spec.task} has variations 0..{self.spec.variations - 1}, not {episode.variation}.")
        key = hashlib.sha256(f"{self.spec.task}/{episode.variation}/{episode.seed}".encode()).digest()
        rng = np.random.default_rng(np.frombuffer(key, dtype=np.uint32))
        world, start = self._world, Pose(np.array(self._task_class.start), facing_down(0.0))
        world.restore()
        self._task = task = self._task_class()
        task.place(world, rng)
        task.paint(world, episode.variation, rng)
        if task.tool is not None:
            world.place(task.tool, Pose(start.position, Rotation.identity()))
        self._servo = Servo(world, self._kinematics, self._attach, start, task.tool, task.farthest)
        world.step(_SETTLE_STEPS)
        world.forward()
        task.drive(world, 0.0)
        world.forward()
        sentences = task.instructions(COLORS[episode.variation])
        self._instruction = sentences[int(rng.integers(len(sentences)))]
        self._episode, self._steps, self._held_ticks, self._on_the_way = episode, 0, 0, False
        return self._observe()

    def step(self, action: Float32[np.ndarray, "128"]) -> StepResult:
        """See `Env.step`."""
        self._need_episode()
        self._steps += 1
        try:
            check_action(action, self.spec.embodiment)
        except ActionError as error:
            return StepResult(self._observe(), True, StepInfo(failure=str(error)))
        action = np.asarray(action, dtype=float)
        quaternion = action[QUATERNION] / np.linalg.norm(action[QUATERNION])
        target = Pose(action[POSITION], Rotation.from_quat(quaternion))
        begin = time.perf_counter()
        for _ in self._servo.drive(target, bool(action[GRIPPER] > 0.5)):
            self._task.drive(self._world, PART_S)
        self._world.place_all()  # a step leaves the poses from before it
        if not np.isfinite(self._world.data.qpos).all():
            raise SimulatorError("the physics diverged")
        success = self._check()
        seconds = {"physics": time.perf_counter() - begin}
        done = self._task.lost(self._world) or (success and self.spec.success_rule == "success_once")
        begin = time.perf_counter()
        observation = self._observe()
        seconds["rendering"] = time.perf_counter() - begin
        return StepResult(observation, done, StepInfo(success=success, seconds=seconds))

    def _check(self) -> bool:
        """Counts the ticks for which the condition has held, and says whether they are enough."""
        self._held_ticks = self._held_ticks + 1 if self._task.achieved(self._world) else 0
        return self._held_ticks >= round(self._task.hold_s * CONTROL_HZ)

    # -- observation ---------------------------------------------------------------------------------------------

    def _observe(self) -> Observation:
        if not self.observing:
            return {}
        assert self._cameras is not None, "the environment is closed"
        world = self._world
        cameras = self.spec.cameras if self.picturing else ()
        images = {camera.name: self._cameras.image(camera.name) for camera in cameras}
        tip, fingers = world.tip, world.fingers
        opened = 1.0 if fingers[0] > 0.95 * FINGER_OPEN else 0.0
        pose = np.concatenate([tip.position, tip.rotation.as_quat()])
        state = proprioception(opened, fingers, pose, world.arm, self._steps, self.spec.max_steps)
        state = state[: len(self.spec.proprioception)]
        return {"images": images, "proprioception": state, "instruction": self._instruction}

    def render(self, height: int = 480, width: int = 640) -> UInt8[np.ndarray, "h w 3"]:
        """A picture with shadows from the studio camera."""
        return self.picture("studio", height, width)

    def picture(self, camera: str, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        """A picture for people from any camera: multisampling and shadows, unlike the observation."""
        return self._studio.picture(camera, height, width)

    # -- the rest ------------------------------------------------------------------------------------------------

    @property
    def world(self) -> World:
        """The scene as it is."""
        return self._world

    @property
    def task(self) -> DynamicTask:
        """The task of the running episode."""
        return self._task

    def expert_action(self) -> Float32[np.ndarray, "128"]:
        """What the expert would do now: a function of the state."""
        self._need_episode()
        command = self._task.expert(self._world)
        self._on_the_way = command.on_the_way
        return self._encode(command.pose, command.open)

    def on_the_way(self, careful: bool) -> bool:
        """Whether what `expert_action` gave last only leads to where the expert does something.

        Args:
            careful: Makes no difference here: nothing is pushed or carried on the way.
        """
        return self._on_the_way

    def hold_action(self) -> Float32[np.ndarray, "128"]:
        """The pose that the arm was last sent to, and the gripper's state.

        Raises:
            RuntimeError: Before the first reset.
        """
        self._need_episode()
        return self._encode(self._servo.set_point, self._servo.open)

    def _encode(self, pose: Pose, opening: bool) -> Float32[np.ndarray, "128"]:
        native = [*pose.position, *positive(pose.rotation.as_quat()), float(opening)]
        return self.spec.embodiment.encode(np.array(native, dtype=np.float32))

    def _need_episode(self) -> None:
        if self._episode is None:
            raise RuntimeError("reset the environment first")

    def close(self) -> None:
        """See `Env.close`."""
        if self._cameras is not None:
            self._cameras.close()
            self._cameras = None
        self._studio.close()
