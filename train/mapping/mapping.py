"""Mapping files: what the columns of somebody else's LeRobot dataset mean in our terms.

    dataset: user/dataset            # folder or hub name; may be left to the command line
    embodiment: delta_eef            # whose native action vector `action` fills, in its order (model.actions)
    convention:                      # what these numbers mean; a task that means something else refuses the policy
      frame: base                    # world | base | tool; none for joints
      rotation: rotation_vector      # quaternion_xyzw | euler_xyz | rotation_vector; none for joints
      gripper: 0_closed_1_open       # the numbers that mean closed and open; none without a gripper
      control_mode: delta            # keyframe | position | delta
    cameras: {front: observation.images.image}    # name of the view: image or video column; or all, of RGB
    image_size: 128                  # views are resized to squares of so many pixels, a multiple of 32
    state:                           # pieces of the proprioception vector
      - {column: observation.state, entries: 0:3, names: [eef_x, eef_y, eef_z]}
    action:                          # pieces of the native action vector
      - {column: action, entries: 0:6}
      - {column: action, entries: 6, scale: -0.5, offset: 0.5}
      - {constant: 0.0}              # an entry that the dataset does not have
    instruction: tasks               # the dataset's sentences; or {column: name}, or {sentence: some text}
    stride: 1                        # keep every so many frames, each with its own action; position control only
    episodes: 0:90                   # episodes to train on (90 is left out); all when absent
    validation_episodes: 90:100      # episodes to watch; none when absent

Entries of a piece, in the order in which they act:

| entry | meaning |
|---|---|
| column, constant | where the numbers come from: one of the two |
| entries | `first:end` (the end is left out), an index, a name, or a list; the whole column when absent |
| scale, offset | value * scale + offset; one number, or one for each entry. 0.0174533 turns degrees into rad |
| invert | true: 1 - value, which swaps the polarity of a gripper in 0 .. 1 |
| rotation | how the dataset writes the rotation in these entries (below) |
| names | of what comes out; in `state` only. The dataset's own when absent |

Rotations: quaternion_xyzw, quaternion_wxyz, rotation_vector (axis times angle, rad), euler_xyz (rad, about the fixed
axes x, y, z in turn: roll, pitch, yaw), euler_xyz_intrinsic (about the moving axes x, y, z in turn). They come out as
unit quaternions xyzw with w >= 0; in the action of an embodiment of displacements, as `convention` has it.
"""

import re
from pathlib import Path
from typing import Any

from envs.spec import InputError
from envs.suite import nearest
from model.actions import EMBODIMENTS, ActionConvention
from train.mapping.checks import check_convention
from train.mapping.schema import ROTATIONS, Mapping, Numbers, Piece
from train.mapping.yaml import read_yaml

MAPPINGS_DIR = Path(__file__).parent / "examples"

_REQUIRED = ("embodiment", "convention", "cameras", "image_size", "state", "action")
_OPTIONAL = ("dataset", "instruction", "stride", "episodes", "validation_episodes")
_CONVENTION = ("frame", "rotation", "gripper", "control_mode")
_PIECE = ("column", "constant", "entries", "scale", "offset", "invert", "rotation", "names")


def load_mapping(path: Path | str) -> Mapping:
    """Reads a mapping file; the name of one that ships with the package will do.

    Raises:
        InputError: There is no such file, or it has unknown, missing or contradictory entries.
    """
    shipped = sorted(each.stem for each in MAPPINGS_DIR.glob("*.yaml"))
    path = MAPPINGS_DIR / f"{path}.yaml" if str(path) in shipped else Path(path)
    if not path.is_file():
        raise InputError(
            f"there is no mapping file {path}.{nearest(path.stem, shipped)} Examples: {', '.join(shipped)}."
        )
    return _Reader(path).mapping()


class _Reader:
    """Turns plain data into a `Mapping`; knows the file's name for the messages."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def mapping(self) -> Mapping:
        data = self._table(read_yaml(self._path), "the file", _REQUIRED, _OPTIONAL)
        name = data["embodiment"]
        if name not in EMBODIMENTS:
            known = f"{nearest(str(name), EMBODIMENTS)} Known: {', '.join(EMBODIMENTS)}."
            raise self._error(f"unknown embodiment {name!r}.{known}")
        facts = self._table(data["convention"], "convention", _CONVENTION)
        facts = {entry: "none" if value is None else str(value) for entry, value in facts.items()}
        convention = ActionConvention(name, **facts)
        check_convention(convention, EMBODIMENTS[name], self._error)
        cameras = data["cameras"]
        if cameras == "all":
            cameras = {}
        elif not isinstance(cameras, dict) or not cameras or not all(isinstance(v, str) for v in cameras.values()):
            raise self._error(
                "cameras must name at least one view and its column, as `front: observation.images.top`, or be `all`."
            )
        size = self._count(data["image_size"], "image_size")
        if size % 32:
            raise self._error(f"image_size must be a multiple of 32, not {size}.")
        stride = self._count(data.get("stride", 1), "stride")
        if stride > 1 and convention.control_mode != "position":
            raise self._error(
                f"stride {stride} would lose the actions of {convention.control_mode} control between the frames that "
                "are kept. Leave stride out."
            )
        episodes = self._range(data.get("episodes"), "episodes")
        held_out = self._range(data.get("validation_episodes"), "validation_episodes")
        if held_out is not None and (episodes is None or set(episodes) & set(held_out)):
            raise self._error("validation_episodes needs `episodes` that it shares no episode with.")
        dataset = data.get("dataset")
        return Mapping(
            path=self._path,
            dataset=None if dataset is None else str(dataset),
            convention=convention,
            cameras={str(view): column for view, column in cameras.items()},
            image_size=size,
            state=self._pieces(data["state"], "state"),
            action=self._pieces(data["action"], "action"),
            instruction=self._instruction(data.get("instruction", "tasks")),
            stride=stride,
            episodes=episodes,
            validation_episodes=held_out,
        )

    def _error(self, message: str) -> InputError:
        return InputError(f"{self._path}: {message}")

    def _table(
        self, data: Any, where: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        known = (*required, *optional)
        if not isinstance(data, dict):
            raise self._error(f"{where} must hold entries `name: value` ({', '.join(known)}).")
        for entry in data:
            if entry not in known:
                raise self._error(
                    f"unknown entry {entry!r} in {where}.{nearest(str(entry), known)} Known: {', '.join(known)}."
                )
        for entry in required:
            if entry not in data:
                raise self._error(
                    f"entry {entry!r} is missing in {where}. Add it; train/mapping.py shows a whole file."
                )
        return data

    def _count(self, value: Any, where: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._error(f"{where} must be a whole number above 0, not {value!r}.")
        return value

    def _range(self, value: Any, where: str) -> range | None:
        if value is None:
            return None
        match = re.fullmatch(r"(\d+):(\d+)", str(value))
        if match is None or int(match[1]) >= int(match[2]):
            raise self._error(f"{where} must be a range such as 0:90 (the end is left out), not {value!r}.")
        return range(int(match[1]), int(match[2]))

    def _instruction(self, value: Any) -> tuple[str, str]:
        if value == "tasks":
            return ("tasks", "")
        if isinstance(value, dict) and len(value) == 1:
            ((kind, text),) = value.items()
            if kind in ("column", "sentence") and isinstance(text, str) and text.strip():
                return (kind, text)
        raise self._error(
            f"instruction must be `tasks`, `{{column: name}}` or `{{sentence: pick up the cube}}`, not {value!r}."
        )

    def _pieces(self, data: Any, where: str) -> tuple[Piece, ...]:
        if not isinstance(data, list) or not data:
            raise self._error(f"{where} must be a list of pieces, such as `- {{column: observation.state}}`.")
        return tuple(self._piece(each, f"{where}, piece {k}", where == "state") for k, each in enumerate(data, 1))

    def _piece(self, data: Any, where: str, is_state: bool) -> Piece:
        data = self._table(data, where, (), _PIECE)
        if ("column" in data) == ("constant" in data):
            raise self._error(f"{where} needs a column or a constant, one of the two.")
        if "constant" in data and set(data) - {"constant", "names"}:
            raise self._error(f"{where} is a constant, which takes no {sorted(set(data) - {'constant', 'names'})[0]}.")
        names = data.get("names", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise self._error(f"{where}: names must be a list of words.")
        if names and not is_state:
            raise self._error(f"{where}: actions take no names; their order is the embodiment's.")
        rotation = data.get("rotation")
        if rotation is not None and rotation not in ROTATIONS:
            raise self._error(
                f"{where}: unknown rotation {rotation!r}.{nearest(str(rotation), ROTATIONS)} Known: "
                f"{', '.join(ROTATIONS)}."
            )
        invert = data.get("invert", False)
        if not isinstance(invert, bool) or (invert and rotation):
            raise self._error(f"{where}: invert must be true or false, and rotations cannot be inverted.")
        return Piece(
            column=None if "constant" in data else str(data["column"]),
            constant=self._numbers(data["constant"], f"{where}: constant") if "constant" in data else (),
            entries=self._entries(data.get("entries"), where),
            scale=self._numbers(data.get("scale", 1.0), f"{where}: scale"),
            offset=self._numbers(data.get("offset", 0.0), f"{where}: offset"),
            invert=invert,
            rotation=rotation,
            names=tuple(names),
        )

    def _numbers(self, value: Any, where: str) -> Numbers:
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(each, int | float) and not isinstance(each, bool) for each in values):
            raise self._error(f"{where} must be a number or a list of numbers, not {value!r}.")
        return tuple(float(each) for each in values)

    def _entries(self, value: Any, where: str) -> slice | tuple[int | str, ...] | None:
        if value is None:
            return None
        match = re.fullmatch(r"(\d+):(\d+)", str(value))
        if match is not None:
            return slice(int(match[1]), int(match[2]))
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(each, int | str) and not isinstance(each, bool) for each in values):
            raise self._error(f"{where}: entries must be 0:3, an index, a name, or a list of them, not {value!r}.")
        return tuple(values)
