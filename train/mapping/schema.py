"""What a mapping file says, as data; `train.mapping` describes and reads it."""

from dataclasses import dataclass
from pathlib import Path

from envs.spec import InputError
from model.actions import EMBODIMENTS, ActionConvention, Embodiment

# How a dataset may write a rotation -> numbers it takes.
ROTATIONS = {"quaternion_xyzw": 4, "quaternion_wxyz": 4, "rotation_vector": 3, "euler_xyz": 3, "euler_xyz_intrinsic": 3}
Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Piece:
    """Some entries of a vector and where they come from; see the module's table.

    Attributes:
        column: Column of the dataset; None for a constant.
        constant: The values where there is no column.
        entries: (first, end), or indices and names; None for the whole column.
        scale: One number, or one for each entry.
        offset: One number, or one for each entry.
        invert: Whether 1 - value is taken.
        rotation: How the dataset writes this rotation; None for what is no rotation.
        names: Names of the entries that come out; empty to take the dataset's.
    """

    column: str | None
    constant: Numbers
    entries: slice | tuple[int | str, ...] | None
    scale: Numbers
    offset: Numbers
    invert: bool
    rotation: str | None
    names: tuple[str, ...]


@dataclass(frozen=True)
class Mapping:
    """How a LeRobot dataset becomes demonstrations of one of our embodiments.

    Attributes:
        path: The file.
        dataset: Folder or hub name; None where the file leaves it open.
        convention: What the actions mean.
        cameras: Name of each view -> column; empty for all of the dataset's RGB columns.
        image_size: Height and width of the views, pixels.
        state: Pieces of the proprioception vector.
        action: Pieces of the native action.
        instruction: ("tasks", ""), ("column", name) or ("sentence", text).
        stride: Every so many frames one is kept.
        episodes: Range of the episodes to train on; None for all.
        validation_episodes: Range of the episodes to watch; None for none.
    """

    path: Path
    dataset: str | None
    convention: ActionConvention
    cameras: dict[str, str]
    image_size: int
    state: tuple[Piece, ...]
    action: tuple[Piece, ...]
    instruction: tuple[str, str]
    stride: int
    episodes: range | None
    validation_episodes: range | None

    @property
    def embodiment(self) -> Embodiment:
        """Whose native vector the actions are."""
        return EMBODIMENTS[self.convention.embodiment]

    def error(self, message: str) -> InputError:
        """A mistake in this mapping, to be raised."""
        return InputError(f"{self.path}: {message}")
