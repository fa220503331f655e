"""Vectors of a mapping from columns of a dataset: selection, units, polarity, rotations."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.spatial.transform import Rotation

from envs.suite import nearest
from model.actions import Embodiment
from train.lerobot.source import Source
from train.mapping.checks import rotation_of
from train.mapping.schema import ROTATIONS, Mapping, Piece

_NUMERIC = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool")


def is_numeric(feature: dict[str, Any]) -> bool:
    """Whether a declared column holds numbers."""
    return feature["dtype"] in _NUMERIC


def entry_names(feature: dict[str, Any]) -> list[str]:
    """The names of a column's entries; empty where the dataset gives none, or not one for each."""
    names: Any = feature.get("names")
    if isinstance(names, dict) and all(isinstance(place, int) for place in names.values()):
        names = [name for name, _ in sorted(names.items(), key=lambda item: item[1])]
    elif isinstance(names, dict):  # {"motors": [...]}
        names = [name for group in names.values() if isinstance(group, list) for name in group]
    width = int(np.prod(feature["shape"]))
    return [str(name) for name in names] if isinstance(names, list) and len(names) == width else []


class Vectors:
    """Computes the vectors of a mapping over some frames of a dataset.

    Args:
        mapping: The mapping, whose columns exist and hold numbers.
        source: The dataset.
        rows: Frames that are kept.
    """

    def __init__(self, mapping: Mapping, source: Source, rows: Int64[np.ndarray, " n"]) -> None:
        self._mapping, self._source, self._rows = mapping, source, rows
        self._columns: dict[str, Float64[np.ndarray, "n d"]] = {}

    def state(self) -> tuple[Float32[np.ndarray, "n P"], tuple[str, ...]]:
        """Proprioception and the name of each entry.

        Raises:
            InputError: A piece does not fit its column, names do not fit, or numbers are not finite.
        """
        vectors: list[Float32[np.ndarray, "n d"]] = []
        names: list[str] = []
        for number, piece in enumerate(self._mapping.state, 1):
            where = f"state, piece {number}"
            values, own = self._piece(piece, where, "quaternion_xyzw")
            if piece.names and len(piece.names) != values.shape[1]:
                raise self._mapping.error(
                    f"{where} comes out with {values.shape[1]} numbers but has {len(piece.names)} names. Name each."
                )
            vectors.append(values)
            names += piece.names or own
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise self._mapping.error(f"two entries of the state are called {twice!r}. Give the pieces `names`.")
        return np.concatenate(vectors, axis=1), tuple(names)

    def action(self) -> Float32[np.ndarray, "n A"]:
        """Native actions.

        Raises:
            InputError: A piece does not fit its column, the pieces do not fill the embodiment, a rotation is not where
                the embodiment has one, or numbers are not finite.
        """
        robot = self._mapping.embodiment
        vectors, spans, end = [], [], 0
        for number, piece in enumerate(self._mapping.action, 1):
            if piece.rotation is not None and rotation_of(robot) is None:
                raise self._mapping.error(
                    f"action, piece {number} is a rotation, but embodiment {robot.name} has none. Leave `rotation` out."
                )
            values, _ = self._piece(piece, f"action, piece {number}", self._mapping.convention.rotation)
            spans.append((number, slice(end, end + values.shape[1])))
            end += values.shape[1]
            vectors.append(values)
        if end != robot.native_dim:
            sizes = " + ".join(str(span.stop - span.start) for _, span in spans)
            raise self._mapping.error(
                f"the pieces of the action have {sizes} = {end} numbers, embodiment {robot.name} takes "
                f"{robot.native_dim}. Choose other entries, or fill up with `- {{constant: 0.0}}`."
            )
        self._check_rotations(robot, spans)
        actions = np.concatenate(vectors, axis=1)
        place = rotation_of(robot)
        if self._mapping.convention.rotation == "quaternion_xyzw" and place is not None:
            norm = np.linalg.norm(actions[:, place], axis=1)
            if np.abs(norm - 1).max() > 1e-3:
                raise self._mapping.error(
                    "the constants of the action's rotation are no unit quaternion xyzw. Correct them."
                )
        return actions

    def _check_rotations(self, robot: Embodiment, spans: list[tuple[int, slice]]) -> None:
        place = rotation_of(robot)
        if place is None:
            return
        absolute = self._mapping.convention.rotation == "quaternion_xyzw"
        for number, span in spans:
            piece = self._mapping.action[number - 1]
            if piece.rotation is not None and span != place:
                raise self._mapping.error(
                    f"action, piece {number} is a rotation at {span.start}:{span.stop}, embodiment {robot.name} has "
                    f"its rotation at {place.start}:{place.stop}. Order the pieces as the embodiment does."
                )
            # Both orders of a quaternion have norm 1, so the order is never guessed.
            overlaps = span.start < place.stop and place.start < span.stop
            if absolute and overlaps and piece.rotation is None and piece.column is not None:
                raise self._mapping.error(
                    f"action, piece {number} covers the rotation (entries 3:7). Make the rotation a piece of its own "
                    f"that says how the dataset writes it: one of {', '.join(ROTATIONS)}."
                )

    def _piece(self, piece: Piece, where: str, rotation: str) -> tuple[Float32[np.ndarray, "n d"], list[str]]:
        if piece.column is None:
            values = np.tile(np.array(piece.constant, np.float32), (len(self._rows), 1))
            return values, [f"constant.{k}" for k in range(values.shape[1])]
        feature = self._source.features[piece.column]
        chosen = self._chosen(piece, feature, where)
        if piece.column not in self._columns:
            self._columns[piece.column] = self._source.matrix(piece.column)[self._rows].astype(np.float64)
        values = self._columns[piece.column][:, chosen]
        for entry, numbers in (("scale", piece.scale), ("offset", piece.offset)):
            if len(numbers) not in (1, len(chosen)):
                raise self._mapping.error(f"{where} has {len(chosen)} entries but {len(numbers)} numbers of {entry}.")
        values = values * piece.scale + piece.offset
        if piece.invert:
            values = 1.0 - values
        if not np.isfinite(values).all():
            row = int(self._rows[np.argwhere(~np.isfinite(values))[0, 0]])
            raise self._mapping.error(
                f"{where}: column {piece.column!r} holds NaN or infinity in frame {row}. Leave that episode out with "
                "`episodes`, or repair the dataset."
            )
        known = entry_names(feature)
        names = [known[k] if known else f"{piece.column}.{k}" for k in chosen]
        if piece.rotation is not None:
            values = self._rotated(values, piece.rotation, rotation, where)
            names = [f"{piece.column}.{axis}" for axis in ("qx", "qy", "qz", "qw")]
        return values.astype(np.float32), names

    def _chosen(self, piece: Piece, feature: dict[str, Any], where: str) -> list[int]:
        width, names = int(np.prod(feature["shape"])), entry_names(feature)
        if piece.entries is None:
            return list(range(width))
        if isinstance(piece.entries, slice):
            places: Sequence[int | str] = range(piece.entries.start, piece.entries.stop)
        else:
            places = piece.entries
        chosen = []
        for place in places:
            if isinstance(place, str):
                if place not in names:
                    listed = f"Its entries: {', '.join(names)}." if names else "Its entries have no names; use indices."
                    raise self._mapping.error(
                        f"{where}: column {piece.column!r} has no entry {place!r}.{nearest(place, names)} {listed}"
                    )
                place = names.index(place)
            if not 0 <= place < width:
                raise self._mapping.error(
                    f"{where}: column {piece.column!r} has {width} entries, 0 to {width - 1}; there is no {place}."
                )
            chosen.append(place)
        return chosen

    def _rotated(
        self, values: Float64[np.ndarray, "n d"], written: str, wanted: str, where: str
    ) -> Float64[np.ndarray, "n e"]:
        if values.shape[1] != ROTATIONS[written]:
            raise self._mapping.error(
                f"{where}: {written} takes {ROTATIONS[written]} numbers, the piece has {values.shape[1]}. Choose them "
                "with `entries`."
            )
        try:
            rotation = _read_rotation(values, written)
        except ValueError as error:
            raise self._mapping.error(f"{where}: a quaternion is zero ({error}). Choose other entries.") from error
        if wanted == "rotation_vector":
            return rotation.as_rotvec()
        if wanted == "euler_xyz":
            return rotation.as_euler("xyz")
        return rotation.as_quat(canonical=True)


def _read_rotation(values: Float64[np.ndarray, "n d"], written: str) -> Any:
    if written == "quaternion_xyzw":
        return Rotation.from_quat(values)
    if written == "quaternion_wxyz":
        return Rotation.from_quat(np.roll(values, -1, axis=1))
    if written == "rotation_vector":
        return Rotation.from_rotvec(values)
    return Rotation.from_euler("xyz" if written == "euler_xyz" else "XYZ", values)
