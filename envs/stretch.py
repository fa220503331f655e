"""The actions towards one milestone, and how far each is from the expert's keyframes there.

Tolerances are what the experts bear, measured on three validation episodes of each of the 18 tasks. With every keyframe
that grips, lets go or ends the plan displaced by 0.5, 1, 2, 3 cm in a random direction, they solved 52, 46, 39, 31 of
54; turned by 5, 10, 20, 30 degrees about a random axis 48, 45, 32, 23; with the keyframes between displaced by 1, 3,
5 cm 53, 42, 33. An action matches a keyframe up to 1 cm and 10 degrees, one on the way up to 3 cm.
"""

from dataclasses import dataclass

import numpy as np

from envs.findings import POSITION, ROTATION, Finding
from envs.milestones import Native, Play, Progress, Reference, carried, distance, find_milestones, turn

POSITION_M, ROTATION_DEG = 0.01, 10.0  # of an action that matches a keyframe
VIA_M, VIA_DEG = 0.03, 30.0  # likewise, of one on the way
NEAR_M = 0.10  # an action further off did not try


@dataclass(frozen=True)
class Deviation:
    """How far an action is from a keyframe.

    Attributes:
        target: The keyframe.
        position: Distance, m.
        rotation: Angle, degrees; half turns of the gripper aside.
        gripper: Their gripper states differ.
    """

    target: Native
    position: float
    rotation: float
    gripper: bool

    @classmethod
    def of(cls, action: Native, target: Native) -> "Deviation":
        """Measures one."""
        return cls(target, distance(action, target), turn(action, target), (action[7] > 0.5) != (target[7] > 0.5))

    @property
    def score(self) -> float:
        """Position and rotation together, in tolerances."""
        return self.position / POSITION_M + self.rotation / ROTATION_DEG

    def poses_match(self, position: float = POSITION_M, rotation: float = ROTATION_DEG) -> bool:
        """Whether position (m) and rotation (degrees) are within tolerances."""
        return self.position <= position and self.rotation <= rotation

    @property
    def matches(self) -> bool:
        """Whether the action is the keyframe, gripper state included."""
        return self.poses_match() and not self.gripper

    @property
    def worst(self) -> str:
        """Which of the two is further off, in tolerances: a category."""
        return POSITION if self.position / POSITION_M >= self.rotation / ROTATION_DEG else ROTATION

    def text(self) -> str:
        """Both in words."""
        return f"{100 * self.position:.1f} cm and {self.rotation:.0f} degrees from it"


class Stretch:
    """The actions towards one milestone; `_enter` says which one.

    Args:
        play: The episode.
        reference: How the expert solves it.
    """

    def __init__(self, play: Play, reference: Reference) -> None:
        self.play, self.reference = play, reference
        self.plan = reference.plan
        self.milestones = find_milestones(reference)
        self.progress = Progress(reference, self.milestones)

    def _enter(self, indices: range, progress: Progress) -> None:
        """Looks at the actions towards one milestone."""
        assert progress.due is not None
        self.indices, self.progress, self.due = indices, progress, progress.due
        self.since = indices[0]
        first = self.milestones[progress.done - 1].index + 1 if progress.done else 0
        self.stretch = range(first, self.due.index + 1)
        opened = self.plan[self.due.index - 1][7] > 0.5 if self.due.index else self.play.start.open
        self.changes_gripper = opened != (self.plan[self.due.index][7] > 0.5)
        gripped = self.reference.play.before(self.due.index).gripped
        self.held = None if gripped is None else progress.stand_in.get(gripped, gripped)

    def _choices(self) -> list[str]:
        return self.progress.choices(self.due.bodies[0]) if self.due.bodies else []

    def _errors(self, action: Native, i: int, k: int) -> list[Deviation]:
        """Distances to a keyframe of the stretch, for each object that would do and as the held one is held."""
        keyframe, expert, now = self.plan[i], self.reference.play.before(i), self.play.before(k)
        targets = [keyframe]
        if self.due.kind == "grip" and self.due.bodies[0] in expert.bodies:
            wanted = expert.bodies[self.due.bodies[0]]
            targets = [carried(keyframe, wanted, now.bodies[body]) for body in self._choices() if body in now.bodies]
            targets.append(keyframe)
        elif expert.gripped in expert.bodies and self.held in now.bodies and now.gripped == self.held:
            goal = carried(np.append(expert.bodies[expert.gripped], 0.0), expert.tip, keyframe[:7])
            targets = [np.append(carried(np.append(now.tip, 0.0), now.bodies[self.held], goal[:7])[:7], keyframe[7])]
        return [Deviation.of(action, target) for target in targets]

    def _due_error(self, k: int) -> Deviation:
        return min(self._errors(self.play.steps[k].action, self.due.index, k), key=lambda error: error.score)

    def _nearest(self, k: int) -> tuple[Deviation, int]:
        """The keyframe of the stretch that an action is nearest to."""
        action = self.play.steps[k].action
        found = [(error, i) for i in self.stretch for error in self._errors(action, i, k)]
        return min(found, key=lambda pair: pair[0].score)

    def _visited(self, i: int, k: int) -> bool:
        """Whether an action of the stretch up to the decisive one came by a keyframe."""
        return any(
            error.poses_match(VIA_M, VIA_DEG)
            for j in range(self.since, k + 1)
            for error in self._errors(self.play.steps[j].action, i, j)
        )

    def _finding(
        self,
        category: str,
        detail: str,
        step: int | None,
        error: Deviation | None = None,
        keyframe: int | None = None,
        verified: bool = False,
    ) -> Finding:
        due = self.progress.due
        return Finding(
            category=category,
            detail=detail,
            step=step,
            keyframe=keyframe if keyframe is not None or error is None or due is None else due.index,
            milestones_done=self.progress.done,
            milestones=len(self.milestones),
            missed=None if due is None else due.kind,
            position_cm=None if error is None else round(100 * error.position, 2),
            rotation_deg=None if error is None else round(error.rotation, 1),
            verified=verified,
        )
