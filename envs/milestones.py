"""What an episode looked like action by action, and the milestones that the expert passes on its way.

A milestone is an expert keyframe after which the scene differs in something other than the arm: an object is gripped,
let go, or moved. The last one is success. What lies between two milestones (coming near, lifting, carrying) can be done
in many ways and is not compared with the expert's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

# Of an expert's step to count as a milestone: a free object moved so far (m), a joint by so much of its range.
MOVED_M, MOVED_SHARE = 0.02, 0.2
# Of a policy's to count as the same: the object lies so near to where the expert brings it (m), more than half of the
# objects do where there are several, or the joint has gone this part of the expert's way.
PLACED_M, PLACED_PART = 0.03, 0.5

Native = Float[np.ndarray, "8"]


@dataclass(frozen=True)
class Scene:
    """State between two actions.

    Attributes:
        tip: Tip pose in the world: x y z (m), quaternion xyzw.
        open: The gripper was last told to open.
        gripped: Movable body that the closed gripper holds or has between its fingers; None for none.
        bodies: Poses of the free bodies, as `tip`.
        joints: Values of the scene's joints as shares of their ranges.
    """

    tip: Float[np.ndarray, "7"]
    open: bool
    gripped: str | None
    bodies: dict[str, Float[np.ndarray, "7"]]
    joints: dict[str, float]


@dataclass(frozen=True)
class Step:
    """One action and what came of it.

    Attributes:
        action: x y z (m), quaternion xyzw, gripper.
        scene: The scene afterwards.
        success: The task succeeded during it.
        failure: Why it could not be carried out; None when it could.
        planner: The failure came from the motion planner.
    """

    action: Native
    scene: Scene
    success: bool = False
    failure: str | None = None
    planner: bool = False


@dataclass(frozen=True)
class Play:
    """An episode from its start.

    Attributes:
        start: The scene after reset.
        steps: The actions in order.
    """

    start: Scene
    steps: tuple[Step, ...]

    def before(self, index: int) -> Scene:
        """The scene before the action of that index."""
        return self.steps[index - 1].scene if index else self.start


@dataclass(frozen=True)
class Milestone:
    """A keyframe that changes the scene.

    Attributes:
        index: Of the keyframe in the expert's plan.
        kind: "grip", "release", "move", "success".
        bodies: Free bodies concerned, those that were gripped or moved.
        joints: Joints that moved, with their change as a share of their range.
        scene: The expert's scene afterwards.
    """

    index: int
    kind: str
    bodies: tuple[str, ...]
    joints: dict[str, float]
    scene: Scene


@dataclass(frozen=True)
class Reference:
    """How the expert solves an episode, and what else could have been meant.

    Attributes:
        play: The expert's episode.
        rivals: Plans for objects or places that were not asked for, keyframe by keyframe as in the expert's own.
        alike: Bodies of which each will do; the expert's choice among them is not the only one.
    """

    play: Play
    rivals: tuple[tuple[Native, ...], ...] = ()
    alike: frozenset[str] = frozenset()

    @property
    def plan(self) -> list[Native]:
        """The expert's keyframes, as far as it played them."""
        return [step.action for step in self.play.steps]


def find_milestones(reference: Reference) -> list[Milestone]:
    """The milestones of the expert's episode, in order; the last keyframe always is one."""
    play, found = reference.play, []
    for index, step in enumerate(play.steps):
        before, after = play.before(index), step.scene
        joints = {name: after.joints[name] - value for name, value in before.joints.items()}
        # What springs back by itself is no doing of the expert's.
        joints = {
            name: change
            for name, change in joints.items()
            if abs(change) > MOVED_SHARE and change * (after.joints[name] - play.start.joints[name]) > 0
        }
        moved = tuple(
            body
            for body, pose in after.bodies.items()
            if body not in (before.gripped, after.gripped) and distance(pose, before.bodies[body]) > MOVED_M
        )
        if index == len(play.steps) - 1:
            found.append(Milestone(index, "success", (before.gripped,) if before.gripped else moved, joints, after))
        elif after.gripped is not None and after.gripped != before.gripped:
            found.append(Milestone(index, "grip", (after.gripped,), joints, after))
        elif before.gripped is not None and after.gripped is None:
            found.append(Milestone(index, "release", (before.gripped,), joints, after))
        elif moved or joints:
            found.append(Milestone(index, "move", moved, joints, after))
    return found


@dataclass
class Progress:
    """How far an episode has come along the milestones.

    Attributes:
        reference: The expert's way.
        milestones: Its milestones.
        done: Number of milestones passed.
        stand_in: Expert's body -> the policy's body of the same kind that plays its part.
    """

    reference: Reference
    milestones: Sequence[Milestone]
    done: int = 0
    stand_in: dict[str, str] = field(default_factory=dict)

    @property
    def due(self) -> Milestone | None:
        """The next milestone; None at the end."""
        return self.milestones[self.done] if self.done < len(self.milestones) else None

    def choices(self, body: str) -> list[str]:
        """Bodies that may play the part of one of the expert's, that one first."""
        if body in self.stand_in:
            return [self.stand_in[body]]
        if body not in self.reference.alike:
            return [body]
        free = sorted(self.reference.alike - set(self.stand_in.values()) - {body})
        return [body] * (body not in self.stand_in.values()) + free

    def advance(self, start: Scene, step: Step) -> None:
        """Passes every milestone that holds after a step."""
        while (due := self.due) is not None and self.reached(due, start, step):
            if due.kind == "grip" and step.scene.gripped is not None:
                self.stand_in[due.bodies[0]] = step.scene.gripped
            self.done += 1
            if due.kind != "grip":
                return  # one action does one thing, but for a grip that was there before

    def reached(self, milestone: Milestone, start: Scene, step: Step) -> bool:
        """Whether a milestone holds after a step of an episode that began with `start`."""
        scene = step.scene
        if step.failure is not None:
            return False
        if milestone.kind == "success":
            return step.success
        if milestone.kind == "grip":
            return scene.gripped in self.choices(milestone.bodies[0])
        if milestone.kind == "release" and scene.gripped in self._bodies(milestone):
            return False
        began = self.reference.play.start.joints
        way = {name: milestone.scene.joints[name] - began[name] for name in milestone.joints}
        turned = all(
            (scene.joints[name] - start.joints[name]) * np.sign(change) >= PLACED_PART * abs(change)
            for name, change in way.items()
        )
        free = [body for body in milestone.bodies if body in milestone.scene.bodies]
        placed = sum(self._placed(body, milestone, scene) for body in free)
        return turned and (not free or placed > len(free) / 2)

    def _bodies(self, milestone: Milestone) -> list[str]:
        return [self.stand_in.get(body, body) for body in milestone.bodies]

    def _placed(self, body: str, milestone: Milestone, scene: Scene) -> bool:
        own = scene.bodies[self.stand_in.get(body, body)]
        # Of objects that are alike each may lie where the expert brings any of them.
        others = self.reference.alike if body in self.reference.alike else {body}
        goals = [
            later.scene.bodies[other]
            for later in self.milestones
            for other in others & set(later.bodies)
            if later.kind in ("release", "success") and (later is milestone or other != body)
        ]
        goals.append(milestone.scene.bodies[body])
        return any(distance(own, goal) < PLACED_M for goal in goals)


Replay = Callable[[Sequence[Native]], Play]


def distance(one: Float[np.ndarray, "n"], other: Float[np.ndarray, "n"]) -> float:
    """Between two positions, m; what follows the first three entries does not count."""
    return float(np.linalg.norm(one[:3] - other[:3]))


def turn(one: Float[np.ndarray, "n"], other: Float[np.ndarray, "n"]) -> float:
    """Angle between two tip poses, degrees; a parallel gripper looks the same after half a turn about its approach."""
    difference = Rotation.from_quat(one[3:7]).inv() * Rotation.from_quat(other[3:7])
    half = Rotation.from_euler("z", 180, degrees=True)
    return float(np.rad2deg(min(difference.magnitude(), (difference * half).magnitude())))


def tilt(one: Float[np.ndarray, "7"], other: Float[np.ndarray, "7"]) -> float:
    """Angle between the vertical axes of two body poses, degrees."""
    axes = [Rotation.from_quat(pose[3:7]).apply([0.0, 0.0, 1.0]) for pose in (one, other)]
    return float(np.rad2deg(np.arccos(np.clip(axes[0] @ axes[1], -1.0, 1.0))))


def carried(keyframe: Native, body: Float[np.ndarray, "7"], other: Float[np.ndarray, "7"]) -> Native:
    """A keyframe at one body as the same keyframe at another."""
    between = Rotation.from_quat(other[3:7]) * Rotation.from_quat(body[3:7]).inv()
    position = other[:3] + between.apply(keyframe[:3] - body[:3])
    return np.concatenate([position, (between * Rotation.from_quat(keyframe[3:7])).as_quat(), keyframe[7:]])
