"""The tasks: which robots they have, and the sentence that names the goal. Names are ManiSkill's own."""

from dataclasses import dataclass

WRIST_ROBOT = "panda_wristcam"


@dataclass(frozen=True)
class Task:
    """A task of ManiSkill.

    Attributes:
        name: ManiSkill's name of it.
        sentence: The instruction.
        robots: ManiSkill's default robot of each arm; for two arms the left one comes first.
    """

    name: str
    sentence: str
    robots: tuple[str, ...]

    @property
    def arms(self) -> int:
        """Number of arms."""
        return len(self.robots)


_ALL = (
    Task(
        "PegInsertionSide-v1",
        "pick up the orange and white peg and insert its orange end into the hole of the box",
        (WRIST_ROBOT,),
    ),
    Task("PickCube-v1", "pick up the red cube and hold it at the green goal", ("panda",)),
    Task("StackCube-v1", "pick up the red cube, stack it on the green cube and let go of it", (WRIST_ROBOT,)),
    Task("PlugCharger-v1", "pick up the charger and plug it into the receptacle", (WRIST_ROBOT,)),
    Task("PushCube-v1", "push the blue cube onto the red and white target", ("panda",)),
    Task(
        "TwoRobotPickCube-v1",
        "pass the red cube from the left arm to the right arm, and hold it still at the green goal",
        (WRIST_ROBOT, WRIST_ROBOT),
    ),
    Task(
        "TwoRobotStackCube-v1",
        "put the green cube on the red and white target, stack the blue cube on it and let go of both",
        (WRIST_ROBOT, WRIST_ROBOT),
    ),
)
TASKS: dict[str, Task] = {task.name: task for task in _ALL}
