"""Plays episodes of the embedded RLBench for the analysis of failures: without pictures, but with the whole state.

Here is also what a task's instruction tells apart (`_RIVALS`: places that a policy may confuse with the wanted one) and
what it does not (`_ALIKE`: objects of which any will do). Objects that can be grasped are rivals of one another anyway.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import mujoco
import numpy as np
from jaxtyping import UInt8

from envs.milestones import Native, Play, Reference, Scene, Step
from envs.rlbench.cabinet import DRAWERS
from envs.rlbench.env import MujocoEnv
from envs.rlbench.pose import Pose
from envs.rlbench.sorter import SHAPES
from envs.rlbench.task import Task
from envs.rlbench.tasks import load
from envs.rlbench.world import World
from envs.spec import Episode
from envs.suite import Suite

FrameSink = Callable[[UInt8[np.ndarray, "h w 3"]], None]

_SPREAD = 1e-3  # m: fingers that are closer have nothing between them
# Task -> what its episode remembers about the goal, and all that it could be.
_GOALS: dict[str, tuple[str, Sequence[Any]]] = {
    "open_drawer": ("_drawer", DRAWERS),
    "put_item_in_drawer": ("_drawer", DRAWERS),
    "insert_onto_square_peg": ("_target", (0, 1, 2)),
    "place_shape_in_shape_sorter": ("_shape", SHAPES),
    "place_wine_at_rack_location": ("_place", ("middle", "left", "right")),
    "put_money_in_safe": ("_shelf", (0, 1, 2)),
    "slide_block_to_color_target": ("_variation", (0, 1, 2, 3)),
    "sweep_to_dustpan_of_size": ("_size", ("tall", "short")),
    "turn_tap": ("_side", ("left", "right")),
}
# Task -> bodies of which the first is (or the first ones are) wanted, told apart by where they stand.
_PLACES = {
    "close_jar": ("jar0", "jar1"),
    "push_buttons": ("button0", "button1", "button2"),
    "stack_cups": ("cup2", "cup1", "cup3"),
}
# Task -> bodies that are alike. Of cups and mugs only the wanted ones; of the blocks four, of which two will do.
_ALIKE = {
    "stack_blocks": ("target0", "target1", "target2", "target3"),
    "stack_cups": ("cup1", "cup3"),
    "place_cups": ("mug0", "mug1", "mug2"),
}


class Tracer:
    """Plays a task's episodes from lists of actions.

    Args:
        suite: The suite.
        task: Task name.

    Raises:
        InputError: There is no off-screen GL.
    """

    def __init__(self, suite: Suite, task: str) -> None:
        self._env = MujocoEnv(suite, load(task))
        self._env.observing = False
        self._embodiment = self._env.spec.embodiment
        model = self._env.world.model
        robot = _robot_bodies(model)
        self._movable = [k for k in range(model.njnt) if model.body(model.jnt_bodyid[k]).name not in robot]

    def reference(self, episode: Episode) -> Reference | None:
        """How the expert solves an episode; None when it does not."""
        env = self._env
        env.reset(episode)
        plan = [np.round(env.native(keyframe), 6) for keyframe in env.keyframes]
        rivals = [tuple(env.native(keyframe) for keyframe in keyframes) for keyframes in _rivals(env.task, env.world)]
        play = self.play(episode, plan)
        if not play.steps[-1].success:
            return None
        wanted = {step.scene.gripped for step in play.steps}
        alike = set(_ALIKE.get(env.task.name, ()))
        alike = alike if env.task.name == "stack_blocks" else alike & wanted
        return Reference(play, tuple(rivals), frozenset(alike))

    def play(self, episode: Episode, actions: Sequence[Native], frame_sink: FrameSink | None = None) -> Play:
        """Plays actions until they or the episode end.

        Args:
            episode: Where to start.
            actions: As in a record: x y z (m), quaternion xyzw, gripper.
            frame_sink: Receives the frames of a video.

        Raises:
            SimulatorError: The simulator broke.
        """
        env = self._env
        env.record_frames = frame_sink is not None
        env.reset(episode)
        if frame_sink is not None:
            frame_sink(env.render())
        start, steps = self._scene(), []
        for action in actions:
            _, done, info = env.step(self._embodiment.encode(np.asarray(action)))
            if frame_sink is not None:
                for frame in env.take_frames():
                    frame_sink(frame)
            steps.append(Step(np.asarray(action), self._scene(), info.success, info.failure, info.planner_failure))
            if done or info.failure is not None:
                break
        return Play(start, tuple(steps))

    def close(self) -> None:
        """Frees the simulator."""
        self._env.close()

    def _scene(self) -> Scene:
        world = self._env.world
        model, bodies, joints = world.model, {}, {}
        for k in self._movable:
            joint = model.joint(k)
            if model.jnt_type[k] == mujoco.mjtJoint.mjJNT_FREE:
                name = model.body(model.jnt_bodyid[k]).name
                bodies[name] = _vector(world.pose(name))
            else:
                low, high = model.jnt_range[k]
                joints[joint.name] = float(world.data.qpos[model.jnt_qposadr[k]] / (high - low))
        return Scene(_vector(world.tip), self._env.gripper_open, self._gripped(), bodies, joints)

    def _gripped(self) -> str | None:
        """The movable body that is held, or that both pads of the closed gripper touch."""
        world = self._env.world
        if world.held is not None:
            return world.held
        if self._env.gripper_open or world.fingers.mean() < _SPREAD:
            return None
        model, contact = world.model, world.data.contact
        pairs = np.stack([contact.geom1, contact.geom2], axis=1)
        touching = []
        for pad in world.pads:
            touched = pairs[(pairs == pad).any(axis=1)]
            touching.append({int(model.geom_bodyid[geom]) for geom in touched[touched != pad]})
        both = sorted(touching[0] & touching[1])
        movable = {int(model.jnt_bodyid[k]) for k in self._movable}
        return next((model.body(body).name for body in both if body in movable), None)


def _vector(pose: Pose) -> np.ndarray:
    return np.concatenate([pose.position, pose.rotation.as_quat()])


def _robot_bodies(model: mujoco.MjModel) -> set[str]:
    """Names of the bodies that hang from the robot's foot."""
    names = {"link0"}
    for k in range(model.nbody):  # parents come before their children
        body = model.body(k)
        if model.body(body.parentid[0]).name in names:
            names.add(body.name)
    return names


class _Swapped:
    """A world in which two bodies have changed places, for those who only look where things are."""

    def __init__(self, world: World, one: str, other: str) -> None:
        self._world, self._names = world, {one: other, other: one}

    def pose(self, body: str) -> Pose:
        """Pose of a body in the world."""
        return self._world.pose(self._names.get(body, body))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)


def _rivals(task: Task, world: World) -> Iterator[Sequence[Any]]:
    """What the expert would do for each other goal in the same scene."""
    if task.name in _GOALS:
        attribute, values = _GOALS[task.name]
        wanted = getattr(task, attribute)
        for value in values:
            if value != wanted:
                setattr(task, attribute, value)
                yield task.expert(world)
        setattr(task, attribute, wanted)
    for one, other in combinations(_PLACES.get(task.name, ()), 2):
        swapped: Any = _Swapped(world, one, other)
        yield task.expert(swapped)
