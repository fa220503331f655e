"""Errors of generated actions in units of the world."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from model.actions import KEYFRAME_EEF
from model.normalize import Normalizer

TURNING, TRAVELLING = "turning", "travelling"
FOUND = 0.04  # m: nearer than the next object mostly is
_TURN = 5.0  # degrees
_TRAVEL = 0.03  # m, in the plane


def decisions(hand: Float32[np.ndarray, "N 7"], native: Float[np.ndarray, "N 8"]) -> dict[str, Bool[np.ndarray, " N"]]:
    """The frames where copying the hand's pose is wrong: it has to turn, or to go elsewhere.

    Most keyframes keep the rotation of the one before, and many only rise or sink: medians over all frames hide what a
    policy does where it has to look.

    Args:
        hand: End-effector pose, x y z (m), quaternion xyzw.
        native: The actions, x y z (m), quaternion xyzw, gripper.
    """
    turn = _angles(hand[:, 3:], native[:, 3:7])
    travel = np.linalg.norm(hand[:, :2] - native[:, :2], axis=1)
    return {TURNING: turn > _TURN, TRAVELLING: travel > _TRAVEL}


def action_errors(
    samples: Tensor,
    target: Tensor,
    task: list[str],
    normalizer: Normalizer,
    groups: Mapping[str, Bool[np.ndarray, " N"]] | None = None,
) -> dict[str, float]:
    """Errors of internal vectors [N, 128], for each task and for "all".

    Args:
        samples: What was generated.
        target: What was demonstrated.
        task: Of each frame.
        normalizer: Scales of both.
        groups: Of end-effector actions: frames whose errors are given under another name too (`decisions`).

    Returns:
        Of absolute end-effector actions `<task>/position_cm` and `<task>/rotation_deg` (medians),
        `<task>/within_1cm`, `<task>/within_2cm`, `<task>/within_10deg` and `<task>/gripper` (shares); of others
        `<task>/error`, the median of the mean distance of an active slot, in standard deviations.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(task):
        rows[name].append(row)
    rows = {"all": list(range(len(task)))} | dict(sorted(rows.items()))
    if normalizer.embodiment != KEYFRAME_EEF.embodiment:
        active = normalizer.mask
        distance = (samples - target).abs().numpy()[:, active].mean(1)
        return {f"{name}/error": float(np.median(distance[mine])) for name, mine in rows.items()}
    made, true = normalizer.to_action(samples.numpy()), normalizer.to_action(target.numpy())
    rows |= {name: list(np.flatnonzero(chosen)) for name, chosen in (groups or {}).items()}
    position = 100 * np.linalg.norm(made[:, :3] - true[:, :3], axis=1)
    rotation = _angles(made[:, 3:7], true[:, 3:7])
    gripper = (made[:, 7] > 0.5) == (true[:, 7] > 0.5)
    errors = {}
    for name, mine in rows.items():
        if not mine:
            continue
        errors[f"{name}/position_cm"] = float(np.median(position[mine]))
        errors[f"{name}/rotation_deg"] = float(np.median(rotation[mine]))
        errors[f"{name}/within_1cm"] = float((position[mine] < 1).mean())
        errors[f"{name}/within_2cm"] = float((position[mine] < 2).mean())
        errors[f"{name}/within_10deg"] = float((rotation[mine] < 10).mean())
        errors[f"{name}/gripper"] = float(gripper[mine].mean())
    return errors


def _angles(one: Float[np.ndarray, "N 4"], other: Float[np.ndarray, "N 4"]) -> Float[np.ndarray, " N"]:
    """Degrees between rotations."""
    return np.degrees(2 * np.arccos(np.abs((one * other).sum(1)).clip(0, 1)))
