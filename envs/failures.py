"""Why an episode failed: finds the first milestone that was missed, the action that missed it, and names the mistake.

1. The episode is followed along the expert's milestones (`envs.milestones`). What was off before but did no harm is not
   blamed: an object that was gripped two centimetres off is gripped.
2. Of the actions since the last milestone the decisive one is the first that skipped ahead in the expert's plan, lost
   what was held, gripped something else, could not be planned, or opened or closed the gripper as the milestone asks;
   without one, that which came nearest to the milestone's keyframe. A keyframe at an object counts for every object
   that is as good and not yet used; one that carries an object allows for how the object is held.
3. Where the mistake is in the pose, the decisive action is played again with its position, its rotation or its gripper
   state alone replaced by the expert's: what brings the milestone about is to blame (`Finding.verified`). Where several
   do or none does, it is what is further off, measured in tolerances. To let go more than 10 cm from where that is due
   is a mistake of the gripper.
4. Where not even the expert's own keyframe would have helped, an earlier action of the same stretch is looked for that
   knocked an object over, strayed from every keyframe, or left one out.

Tolerances are what the experts bear, measured on three validation episodes of each of the 18 tasks. With every keyframe
that grips, lets go or ends the plan displaced by 0.5, 1, 2, 3 cm in a random direction, they solved 52, 46, 39, 31 of
54; turned by 5, 10, 20, 30 degrees about a random axis 48, 45, 32, 23; with the keyframes between displaced by 1, 3,
5 cm 53, 42, 33. An action matches a keyframe up to 1 cm and 10 degrees, one on the way up to 3 cm.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from envs.milestones import (
    PLACED_M,
    Native,
    Play,
    Progress,
    Reference,
    Replay,
    carried,
    distance,
    find_milestones,
    tilt,
    turn,
)

POSITION_M, ROTATION_DEG = 0.01, 10.0  # of an action that matches a keyframe
VIA_M, VIA_DEG = 0.03, 30.0  # likewise, of one on the way
RIVAL_M = 0.05  # an action so near to another object's keyframe was meant for it: objects are 0.10 m apart
NEAR_M = 0.10  # an action further off did not try
TOPPLED_DEG = 30.0

POSITION, ROTATION, GRIPPER = "position error", "rotation error", "gripper state wrong"
OBJECT, ORDER, PLANNER = "wrong object", "wrong order or skipped keyframe", "planner failure"
SLIP, STEPS, UNEXPLAINED = "physical slip", "out of steps", "unexplained"
CATEGORIES = (POSITION, ROTATION, GRIPPER, OBJECT, ORDER, PLANNER, SLIP, STEPS, UNEXPLAINED)


@dataclass(frozen=True)
class Finding:
    """What went wrong in an episode.

    Attributes:
        category: One of `CATEGORIES`.
        detail: The same in words.
        step: The decisive action, counted from 0; None where there is none.
        keyframe: The expert's keyframe that it is measured against, counted from 0.
        milestones_done: Milestones passed before.
        milestones: Milestones of the episode.
        missed: Kind of the milestone that was missed: grip, release, move or success.
        position_cm: Distance of the decisive action from the keyframe.
        rotation_deg: Angle between the two, half turns of the gripper aside.
        verified: Played with that mistake alone corrected, the action brings the milestone about.
    """

    category: str
    detail: str
    step: int | None = None
    keyframe: int | None = None
    milestones_done: int = 0
    milestones: int = 0
    missed: str | None = None
    position_cm: float | None = None
    rotation_deg: float | None = None
    verified: bool = False


def explain(play: Play, reference: Reference, replay: Replay, failure: str | None) -> Finding:
    """Why a failed episode failed.

    Args:
        play: The episode, played from its record.
        reference: How the expert solves it.
        replay: Plays other actions from the same start.
        failure: What the record says, such as "out of steps".
    """
    return _Inquiry(play, reference, replay, failure).finding()


@dataclass(frozen=True)
class _Error:
    """How far an action is from a keyframe."""

    target: Native
    position: float
    rotation: float
    gripper: bool

    @classmethod
    def of(cls, action: Native, target: Native) -> "_Error":
        return cls(target, distance(action, target), turn(action, target), (action[7] > 0.5) != (target[7] > 0.5))

    @property
    def score(self) -> float:
        return self.position / POSITION_M + self.rotation / ROTATION_DEG

    def poses_match(self, position: float = POSITION_M, rotation: float = ROTATION_DEG) -> bool:
        return self.position <= position and self.rotation <= rotation

    @property
    def matches(self) -> bool:
        return self.poses_match() and not self.gripper

    @property
    def worst(self) -> str:
        return POSITION if self.position / POSITION_M >= self.rotation / ROTATION_DEG else ROTATION

    def text(self) -> str:
        return f"{100 * self.position:.1f} cm and {self.rotation:.0f} degrees from it"


class _Inquiry:
    """One episode's case."""

    def __init__(self, play: Play, reference: Reference, replay: Replay, failure: str | None) -> None:
        self.play, self.reference, self.replay, self.failure = play, reference, replay, failure
        self.plan = reference.plan
        self.milestones = find_milestones(reference)
        self.progress = Progress(reference, self.milestones)
        # The actions towards each milestone, and what was done by then.
        self.passed: list[tuple[range, Progress]] = []
        since = 0
        for index, step in enumerate(play.steps):
            before = deepcopy(self.progress)
            self.progress.advance(play.start, step)
            if self.progress.done > before.done:
                self.passed.append((range(since, index + 1), before))
                since = index + 1
        self.indices = range(since, len(play.steps))

    def finding(self) -> Finding:
        if self.progress.due is None:
            return self._finding(UNEXPLAINED, "every milestone was passed", None)
        if self.indices:
            self._enter(self.indices, self.progress)
            found = next(filter(None, map(self._event, self.indices)), None) or self._without_event()
            if found.category not in (STEPS, UNEXPLAINED):
                return found
        else:
            found = self._finding(STEPS if self.failure == "out of steps" else UNEXPLAINED, "no action was left", None)
        # Nothing was tried any more: perhaps because it was done before its turn or with something else, or because a
        # failed attempt went unnoticed and the next of several alike objects took the part of the lost one.
        for indices, progress in self.passed:
            self._enter(indices, progress)
            for k in indices[:-1]:
                early = self._event(k) if self.reference.alike else self._untimely(k) or self._grips_other(k)
                if early is not None:
                    return early
        return found

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

    # -- the decisive action -------------------------------------------------------------------------------------

    def _event(self, k: int) -> Finding | None:
        step, before = self.play.steps[k], self.play.before(k)
        lost = self.held is not None and before.gripped == self.held != step.scene.gripped
        # A milestone without a change of the gripper has no moment of its own at which it is tried.
        tried = self._attempt_before(k) if (step.planner or lost) and not self.changes_gripper else None
        if tried is not None:
            return tried
        if step.planner:
            return self._planner(k)
        if (untimely := self._untimely(k)) is not None:
            return untimely
        if lost:
            return self._judge(k) if step.action[7] > 0.5 else self._slipped(k)
        if (other := self._grips_other(k)) is not None:
            return other
        if self.changes_gripper:
            wanted = self.plan[self.due.index][7] > 0.5
            if (step.action[7] > 0.5) == wanted != before.open:
                return self._judge(k)
            error = self._due_error(k)
            following = self.play.steps[k + 1].action if k + 1 < len(self.play.steps) else None
            stays = following is not None and distance(following, step.action) < POSITION_M
            if error.gripper and error.poses_match() and not stays:
                return self._judge(k)
        return None

    def _grips_other(self, k: int) -> Finding | None:
        after = self.play.steps[k].scene.gripped
        if self.due.kind == "grip" and after not in (None, self.play.before(k).gripped, *self._choices()):
            return self._finding(OBJECT, f"gripped {after}, not {self.due.bodies[0]}", k, self._due_error(k))
        return None

    def _untimely(self, k: int) -> Finding | None:
        ahead = self._ahead(k)
        if ahead is None:
            return None
        if (attempt := self._attempt_before(k)) is not None:
            return attempt
        missing = [i for i in self.stretch if not self._visited(i, k)] or [self.due.index]
        detail = f"played keyframe {ahead} of the plan while keyframe {missing[0]} was due"
        return self._finding(ORDER, detail, k, _Error.of(self.play.steps[k].action, self.plan[ahead]), ahead)

    def _ahead(self, k: int) -> int | None:
        """The later keyframe that an action is, when it is none of those that are due."""
        action = self.play.steps[k].action
        if any(error.matches for i in self.stretch for error in self._errors(action, i, k)):
            return None
        last = len(self.plan)
        if self.reference.alike:  # the expert's order is one of many: only the next stretch is sure to follow
            if any(one != other for one, other in self.progress.stand_in.items()):
                return None
            last = self.milestones[min(self.progress.done + 1, len(self.milestones) - 1)].index + 1
        for j in range(self.due.index + 1, last):
            if not _Error.of(action, self.plan[j]).matches:
                continue
            # The same pose may be due with the gripper otherwise: then what follows tells which was meant.
            twofold = any(error.poses_match() for i in self.stretch for error in self._errors(action, i, k))
            if not twofold or self._goes_on(k, j):
                return j
        return None

    def _goes_on(self, k: int, j: int) -> bool:
        if k + 1 >= len(self.play.steps):
            return j == len(self.plan) - 1
        return j + 1 < len(self.plan) and _Error.of(self.play.steps[k + 1].action, self.plan[j + 1]).poses_match()

    def _without_event(self) -> Finding:
        nearest = min(self.indices, key=lambda k: self._due_error(k).score)
        error = self._due_error(nearest)
        if self.changes_gripper:
            verb = "closed" if self.plan[self.due.index][7] <= 0.5 else "opened"
            detail = f"never {verb} the gripper for keyframe {self.due.index}; came within {error.text()}"
            return self._finding(STEPS if self.failure == "out of steps" else UNEXPLAINED, detail, nearest, error)
        if error.position > NEAR_M and self._rival(nearest, error) is None:
            detail = f"came no nearer to keyframe {self.due.index} than {error.text()}"
            return self._finding(STEPS if self.failure == "out of steps" else POSITION, detail, nearest, error)
        return self._judge(nearest)

    def _attempt_before(self, k: int) -> Finding | None:
        """The mistake in an earlier action that tried the milestone: what went wrong afterwards is its consequence."""
        for j in range(self.since, k):
            near, i = self._nearest(j)
            if i == self.due.index and near.position <= NEAR_M:
                return self._judge(j)
        return None

    def _slipped(self, k: int) -> Finding:
        near, i = self._nearest(k)
        if i == self.due.index and not near.poses_match(VIA_M, VIA_DEG):
            return self._judge(k)
        return self._finding(SLIP, f"{self.held} slipped out of the closed gripper", k, near, i)

    # -- the mistake ---------------------------------------------------------------------------------------------

    def _judge(self, k: int) -> Finding:
        """Names what is wrong with the decisive action."""
        action, error = self.play.steps[k].action, self._due_error(k)
        if not error.poses_match():
            for i in self.stretch[:-1]:
                via = min(self._errors(action, i, k), key=lambda other: other.score)
                if via.poses_match() and via.gripper:
                    state = "open" if action[7] > 0.5 else "closed"
                    return self._finding(GRIPPER, f"{state} at keyframe {i} already", k, via, i)
        rival = self._rival(k, error)
        if rival is not None:
            return self._finding(OBJECT, f"aimed at {rival}; {error.text()} that is due", k, error)
        if self.held is not None and action[7] > 0.5 and error.position > NEAR_M:
            return self._finding(GRIPPER, f"let go of {self.held} on the way; {error.text()} that is due", k, error)
        parts = {POSITION: error.position > 0, ROTATION: error.rotation > 0, GRIPPER: error.gripper}
        helping = [part for part, wrong in parts.items() if wrong and self._helps(k, error, (part,))]
        if GRIPPER in helping:
            return self._finding(GRIPPER, f"at keyframe {self.due.index}", k, error, verified=True)
        if helping:
            part = helping[0] if len(helping) == 1 else error.worst
            return self._finding(part, f"keyframe {self.due.index}: {error.text()}", k, error, verified=True)
        if self._helps(k, error, (POSITION, ROTATION, GRIPPER)):
            part = GRIPPER if error.gripper and error.poses_match() else error.worst
            return self._finding(part, f"keyframe {self.due.index}: {error.text()}, only both help", k, error)
        return self._earlier(k, error)

    def _helps(self, k: int, error: _Error, parts: Sequence[str]) -> bool:
        """Whether the milestone is reached when these parts of an action are the expert's."""
        actions = [step.action for step in self.play.steps[:k]]
        again = self.replay([*actions, _corrected(self.play.steps[k].action, error.target, parts)])
        if len(again.steps) <= k:
            return False
        progress = deepcopy(self.progress)
        progress.advance(again.start, again.steps[k])
        return progress.done > self.progress.done

    def _earlier(self, k: int, error: _Error) -> Finding:
        """The decisive action came too late to be saved: looks for an earlier cause in the same stretch."""
        knocked = self._knocked(k)
        if knocked is not None:
            j, body = knocked
            near, i = self._nearest(j)
            if near.poses_match(VIA_M, VIA_DEG):
                return self._finding(SLIP, f"{body} was moved or toppled in an action like the expert's", j, near, i)
            return self._finding(near.worst, f"moved or toppled {body}: keyframe {i}, {near.text()}", j, near, i)
        for j in range(self.since, k):
            near, i = self._nearest(j)
            if near.position > NEAR_M:
                continue  # on its way
            if not near.poses_match(VIA_M, VIA_DEG):
                return self._finding(near.worst, f"keyframe {i}: {near.text()}", j, near, i)
        skipped = [i for i in self.stretch[:-1] if not self._visited(i, k)]
        if skipped:
            return self._finding(ORDER, f"left out keyframe {skipped[0]}", k, error)
        if not error.poses_match() or error.gripper:
            part = GRIPPER if error.poses_match() else error.worst
            return self._finding(part, f"keyframe {self.due.index}: {error.text()}", k, error)
        short = distance(self.play.steps[k].scene.tip, self.play.steps[k].action)
        if short > POSITION_M:
            return self._finding(SLIP, f"the arm was stopped {100 * short:.1f} cm short of its action", k, error)
        if self.due.kind == "grip" or self.held is not None:
            return self._finding(SLIP, f"an action like the expert's did not {self.due.kind}", k, error)
        return self._finding(UNEXPLAINED, f"actions like the expert's, no {self.due.kind}", k, error)

    def _knocked(self, k: int) -> tuple[int, str] | None:
        """The first action that moved or toppled an object that matters, without holding it; and the object."""
        done = [body for milestone in self.milestones[: self.progress.done] for body in milestone.bodies]
        bodies = {self.progress.stand_in.get(body, body) for body in (*done, *self.due.bodies)} - {self.held}
        start = self.play.before(self.since).bodies
        for j in range(self.since, k + 1):
            step = self.play.steps[j]
            for body in sorted(bodies & start.keys() - {step.scene.gripped}):
                if j == k and body in self.due.bodies:
                    continue
                pose = step.scene.bodies[body]
                if distance(pose, start[body]) > PLACED_M or tilt(pose, start[body]) > TOPPLED_DEG:
                    return j, body
        return None

    def _rival(self, k: int, error: _Error) -> str | None:
        """What else an action was meant for, if anything: another object or place at which the keyframe would be."""
        if error.position <= POSITION_M:
            return None
        i, action = self.due.index, self.play.steps[k].action
        own, now = self.reference.play.before(i).bodies, self.play.before(k).bodies
        others: list[tuple[str, Native]] = []
        if self.due.kind == "grip" and self.due.bodies[0] in own:
            wanted = own[self.due.bodies[0]]
            others = [(body, carried(self.plan[i], wanted, now[body])) for body in now if body not in self._choices()]
        others += [("another object or place", plan[i]) for plan in self.reference.rivals if i < len(plan)]
        apart = [(name, target) for name, target in others if distance(target, error.target) > VIA_M]
        if not apart:
            return None
        name, nearest = min(apart, key=lambda other: distance(other[1], action))
        gap = distance(nearest, action)
        return name if gap < min(RIVAL_M, error.position) else None

    def _planner(self, k: int) -> Finding:
        step = self.play.steps[k]
        error, i = self._nearest(k)
        actions = [other.action for other in self.play.steps[:k]]
        causes = []
        for part in (POSITION, ROTATION):
            again = self.replay([*actions, _corrected(step.action, error.target, (part,))])
            if len(again.steps) > k and not again.steps[k].planner:
                causes.append(part.removesuffix(" error"))
        cause = f"its {' or '.join(causes)} makes it unreachable" if causes else "unreachable as a whole"
        detail = f"{step.failure}; {cause}; keyframe {i}: {error.text()}"
        return self._finding(PLANNER, detail, k, error, i, verified=bool(causes))

    # -- distances -----------------------------------------------------------------------------------------------

    def _choices(self) -> list[str]:
        return self.progress.choices(self.due.bodies[0]) if self.due.bodies else []

    def _errors(self, action: Native, i: int, k: int) -> list[_Error]:
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
        return [_Error.of(action, target) for target in targets]

    def _due_error(self, k: int) -> _Error:
        return min(self._errors(self.play.steps[k].action, self.due.index, k), key=lambda error: error.score)

    def _nearest(self, k: int) -> tuple[_Error, int]:
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
        error: _Error | None = None,
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


def _corrected(action: Native, target: Native, parts: Sequence[str]) -> Native:
    """An action with some of its parts replaced by a keyframe's."""
    corrected = action.copy()
    for part, entries in ((POSITION, slice(0, 3)), (ROTATION, slice(3, 7)), (GRIPPER, slice(7, 8))):
        if part in parts:
            corrected[entries] = target[entries]
    return corrected
