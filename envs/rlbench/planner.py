"""Motion planning to a tip pose: a straight line where it is free, else around the obstacles.

The order follows RLBench's planned end-effector mode: a straight line of the tip first, then a sampling planner in
joint space (RRT-Connect), each checked for collisions; where no free path exists the straight line is driven all the
same, as the PerAct fork does. Obstacles are fixed and articulated parts (table, chest, drawers). Free objects are none,
and neither is a body that the arm touches where the motion starts or ends: the arm is meant to touch it.
"""

from collections.abc import Sequence
from itertools import pairwise

import mujoco
import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation, Slerp

from envs.rlbench import lab
from envs.rlbench.kinematics import Kinematics
from envs.rlbench.pose import Pose
from envs.rlbench.task import Keyframe
from envs.rlbench.world import World

_LINE_STEP = 0.02  # m between inverse-kinematics solutions along a line
_LINE_TURN = 0.12  # rad, likewise
_JOINT_JUMP = 0.6  # rad a line may jump between two of its solutions
_PENETRATION = 1e-3  # m
_EDGE_STEP = 0.08  # rad between collision checks
_TREE_STEP = 0.35  # rad an RRT edge grows
_TREE_NODES = 600

JointPath = Float[np.ndarray, "n 7"]


class PlanningError(Exception):
    """The pose cannot be reached; the message says why. The policy's failure, not the simulator's."""


class Planner:
    """Plans joint paths in a world."""

    def __init__(self, world: World) -> None:
        self.kinematics = Kinematics()
        self._world = world
        self._scratch = mujoco.MjData(world.model)
        model = world.model
        robot, objects = model.geom_contype == 1, model.geom_contype == 4
        # The robot's foot stands on the table; the rest of the arm may not touch it.
        foot = model.geom_bodyid == model.body("link0").id
        self._arm_geoms = robot & ~foot
        self._obstacles = ~robot & ~objects & ((model.geom_contype > 0) | (model.geom_conaffinity > 0))
        self._ignored = np.zeros(model.nbody, dtype=bool)

    def plan(self, target: Pose, seed: int) -> JointPath:
        """A joint path from the arm's present posture to a tip pose in the world.

        Args:
            target: Tip pose.
            seed: Seed of the sampling planner.

        Raises:
            PlanningError: The target is outside the workspace or out of the arm's reach.
        """
        check_target(target)
        start = self._world.arm
        np.copyto(self._scratch.qpos, self._world.data.qpos)
        self._ignored[:] = False
        self._ignore_articulated(start)
        line = self.line(start, target)
        if line is not None:
            self._ignore_articulated(line[-1])
            if not self._collides_along(line):
                return line
        goals = self.kinematics.solutions(target, start)
        if not goals:
            if line is not None:
                return line
            raise PlanningError(
                f"the pose at ({', '.join(f'{x:.3f}' for x in target.position)}) is out of the arm's reach"
            )
        self._ignore_articulated(goals[0])
        free = [goal for goal in goals if not self._collides(goal)]
        if free and not self._collides(start):
            for goal in free:
                direct = np.stack([start, goal])
                if not self._collides_along(direct):
                    return direct
            path = self._rrt_connect(start, free, np.random.default_rng(seed))
            if path is not None:
                return path
        return line if line is not None else np.stack([start, goals[0]])

    def line(self, start: Float[np.ndarray, "7"], target: Pose) -> JointPath | None:
        """Joint angles along a straight line of the tip, collisions ignored; None where the arm cannot follow it."""
        origin = self.kinematics.tip(start)
        turn = (target.rotation * origin.rotation.inv()).magnitude()
        count = int(max(np.linalg.norm(target.position - origin.position) / _LINE_STEP, turn / _LINE_TURN, 1)) + 1
        slerp = Slerp([0.0, 1.0], Rotation.concatenate([origin.rotation, target.rotation]))
        path = [start]
        for share in np.linspace(0, 1, count + 1)[1:]:
            position = origin.position + share * (target.position - origin.position)
            joints = self.kinematics.solve(Pose(position, slerp(share)), path[-1], iterations=25)
            if joints is None or np.abs(joints - path[-1]).max() > _JOINT_JUMP:
                return None
            path.append(joints)
        return np.stack(path)

    def follows(self, keyframes: Sequence[Keyframe], start: Float[np.ndarray, "7"]) -> bool:
        """Whether the arm can reach the keyframes one after the other, collisions ignored.

        Args:
            keyframes: The expert's.
            start: Posture before the first, rad.
        """
        posture = start
        for keyframe in keyframes:
            line = self.line(posture, keyframe.pose)
            if line is not None:
                posture = line[-1]
                continue
            solutions = [] if keyframe.linear else self.kinematics.solutions(keyframe.pose, posture)
            if not solutions:
                return False
            posture = solutions[0]
        return True

    def _touched(self, joints: Float[np.ndarray, "7"]) -> Int[np.ndarray, "k"]:
        """Bodies that the arm penetrates in a posture."""
        data, model = self._scratch, self._world.model
        data.qpos[self._world.arm_qpos] = joints
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        if data.ncon == 0:
            return np.empty(0, dtype=int)
        first, second = data.contact.geom1, data.contact.geom2
        deep = data.contact.dist < -_PENETRATION
        forward = self._arm_geoms[first] & self._obstacles[second] & deep
        backward = self._arm_geoms[second] & self._obstacles[first] & deep
        return model.geom_bodyid[np.concatenate([second[forward], first[backward]])]

    def _collides(self, joints: Float[np.ndarray, "7"]) -> bool:
        return bool((~self._ignored[self._touched(joints)]).any())

    def _ignore_articulated(self, joints: Float[np.ndarray, "7"]) -> None:
        """Stops counting articulated bodies that the arm touches in a posture as obstacles."""
        touched = self._touched(joints)
        self._ignored[touched[self._world.model.body_jntnum[touched] > 0]] = True

    def _collides_along(self, path: JointPath) -> bool:
        return any(self._collides(joints) for joints in _subdivide(path)[1:])

    def _rrt_connect(
        self, start: Float[np.ndarray, "7"], goals: list[np.ndarray], rng: np.random.Generator
    ) -> JointPath | None:
        """Two trees that grow towards each other; returns a shortened path or None."""
        low, high = self.kinematics.low, self.kinematics.high
        trees = [_Tree([start]), _Tree(goals)]
        for _ in range(_TREE_NODES):
            near, far = trees
            sample = rng.uniform(low, high)
            reached = self._grow(near, sample)
            if reached is not None:
                node = near.nodes[reached]
                while True:
                    grown = self._grow(far, node)
                    if grown is None:
                        break
                    if np.abs(far.nodes[grown] - node).max() < 1e-6:
                        forward, backward = near.path(reached), far.path(grown)
                        path = [*forward, *backward[::-1][1:]]
                        path = path if np.array_equal(path[0], start) else path[::-1]
                        return self._shorten(np.stack(path), rng)
            trees.reverse()
        return None

    def _grow(self, tree: "_Tree", towards: Float[np.ndarray, "7"]) -> int | None:
        nearest = tree.nearest(towards)
        origin = tree.nodes[nearest]
        delta = towards - origin
        length = float(np.abs(delta).max())
        if length < 1e-9:
            return nearest
        end = towards if length <= _TREE_STEP else origin + delta * (_TREE_STEP / length)
        if self._collides_along(np.stack([origin, end])):
            return None
        return tree.add(end, nearest)

    def _shorten(self, path: JointPath, rng: np.random.Generator) -> JointPath:
        for _ in range(60):
            if len(path) < 3:
                break
            i, j = sorted(rng.choice(len(path), 2, replace=False))
            if j - i > 1 and not self._collides_along(path[[i, j]]):
                path = np.concatenate([path[: i + 1], path[j:]])
        return path


class _Tree:
    def __init__(self, roots: list[np.ndarray]) -> None:
        self.nodes = list(roots)
        self._parents = [-1] * len(roots)

    def nearest(self, joints: Float[np.ndarray, "7"]) -> int:
        return int(np.square(np.stack(self.nodes) - joints).sum(axis=1).argmin())

    def add(self, joints: Float[np.ndarray, "7"], parent: int) -> int:
        self.nodes.append(joints)
        self._parents.append(parent)
        return len(self.nodes) - 1

    def path(self, node: int) -> list[np.ndarray]:
        path = []
        while node >= 0:
            path.append(self.nodes[node])
            node = self._parents[node]
        return path[::-1]


def check_target(target: Pose) -> None:
    """Raises PlanningError for a target outside the box that RLBench allows."""
    if not ((target.position > lab.TARGET_LOW) & (target.position < lab.TARGET_HIGH)).all():
        raise PlanningError(
            f"the position ({', '.join(f'{x:.3f}' for x in target.position)}) is outside the workspace "
            f"{tuple(map(float, lab.TARGET_LOW))} .. {tuple(map(float, lab.TARGET_HIGH))}"
        )


def _subdivide(path: JointPath) -> JointPath:
    points = [path[:1]]
    for a, b in pairwise(path):
        count = max(1, int(np.ceil(np.abs(b - a).max() / _EDGE_STEP)))
        points.append(a + (b - a) * (np.arange(1, count + 1) / count)[:, None])
    return np.concatenate(points)
