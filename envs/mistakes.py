"""What is wrong with the action that missed a milestone: rules 3 and 4 of `envs.failures`."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np

from envs.findings import GRIPPER, OBJECT, ORDER, PLANNER, POSITION, ROTATION, SLIP, UNEXPLAINED, Finding
from envs.milestones import PLACED_M, Native, Play, Reference, Replay, carried, distance, tilt
from envs.stretch import NEAR_M, POSITION_M, VIA_DEG, VIA_M, Deviation, Stretch

RIVAL_M = 0.05  # an action so near to another object's keyframe was meant for it: objects are 0.10 m apart
TOPPLED_DEG = 30.0


class Mistakes(Stretch):
    """Names the mistake in an action, by playing it again with parts of it corrected.

    Args:
        play: The episode.
        reference: How the expert solves it.
        replay: Plays other actions from the same start.
    """

    def __init__(self, play: Play, reference: Reference, replay: Replay) -> None:
        super().__init__(play, reference)
        self.replay = replay

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
            if self._carried_to(k):
                return self._finding(
                    OBJECT, f"carried {self.held} to another place; {error.text()} that is due", k, error
                )
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

    def _carried_to(self, k: int) -> bool:
        """Whether an action before brought what is held over the place of action k, where no keyframe is."""
        place = self.play.steps[k].action[:2]
        before = (j for j in range(self.since, k) if self.play.steps[j].action[7] <= 0.5)
        return any(
            np.linalg.norm(self.play.steps[j].action[:2] - place) <= VIA_M and self._nearest(j)[0].position > VIA_M
            for j in before
        )

    def _helps(self, k: int, error: Deviation, parts: Sequence[str]) -> bool:
        """Whether the milestone is reached when these parts of an action are the expert's."""
        actions = [step.action for step in self.play.steps[:k]]
        again = self.replay([*actions, _corrected(self.play.steps[k].action, error.target, parts)])
        if len(again.steps) <= k:
            return False
        progress = deepcopy(self.progress)
        progress.advance(again.start, again.steps[k])
        return progress.done > self.progress.done

    def _earlier(self, k: int, error: Deviation) -> Finding:
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

    def _rival(self, k: int, error: Deviation) -> str | None:
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


def _corrected(action: Native, target: Native, parts: Sequence[str]) -> Native:
    """An action with some of its parts replaced by a keyframe's."""
    corrected = action.copy()
    for part, entries in ((POSITION, slice(0, 3)), (ROTATION, slice(3, 7)), (GRIPPER, slice(7, 8))):
        if part in parts:
            corrected[entries] = target[entries]
    return corrected
