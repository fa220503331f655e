"""What can be said of a failed episode: the categories of mistakes, and a finding."""

from dataclasses import dataclass

POSITION, ROTATION, GRIPPER = "position error", "rotation error", "gripper state wrong"
OBJECT, ORDER, PLANNER = "wrong object or place", "wrong order or skipped keyframe", "planner failure"
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
