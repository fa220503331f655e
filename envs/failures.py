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
   is a mistake of the gripper, unless what is held was carried over that place before: then it is the wrong place.
4. Where not even the expert's own keyframe would have helped, an earlier action of the same stretch is looked for that
   knocked an object over, strayed from every keyframe, or left one out.

Rules 1 and 2 are here, 3 and 4 in `envs.mistakes`; the tolerances are in `envs.stretch`.
"""

from copy import deepcopy

from envs.findings import OBJECT, ORDER, POSITION, SLIP, STEPS, UNEXPLAINED, Finding
from envs.milestones import Play, Progress, Reference, Replay, distance
from envs.mistakes import Mistakes
from envs.stretch import NEAR_M, POSITION_M, VIA_DEG, VIA_M, Deviation


def explain(play: Play, reference: Reference, replay: Replay, failure: str | None) -> Finding:
    """Why a failed episode failed.

    Args:
        play: The episode, played from its record.
        reference: How the expert solves it.
        replay: Plays other actions from the same start.
        failure: What the record says, such as "out of steps".
    """
    return _Inquiry(play, reference, replay, failure).finding()


class _Inquiry(Mistakes):
    """One episode's case."""

    def __init__(self, play: Play, reference: Reference, replay: Replay, failure: str | None) -> None:
        super().__init__(play, reference, replay)
        self.failure = failure
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
        return self._finding(ORDER, detail, k, Deviation.of(self.play.steps[k].action, self.plan[ahead]), ahead)

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
            if not Deviation.of(action, self.plan[j]).matches:
                continue
            # The same pose may be due with the gripper otherwise: then what follows tells which was meant.
            twofold = any(error.poses_match() for i in self.stretch for error in self._errors(action, i, k))
            if not twofold or self._goes_on(k, j):
                return j
        return None

    def _goes_on(self, k: int, j: int) -> bool:
        if k + 1 >= len(self.play.steps):
            return j == len(self.plan) - 1
        return j + 1 < len(self.plan) and Deviation.of(self.play.steps[k + 1].action, self.plan[j + 1]).poses_match()

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
