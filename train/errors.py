"""Errors of generated actions in units of the world."""

from collections import defaultdict

import numpy as np
from torch import Tensor

from model.actions import KEYFRAME_EEF
from model.normalize import Normalizer


def action_errors(samples: Tensor, target: Tensor, task: list[str], normalizer: Normalizer) -> dict[str, float]:
    """Errors of internal vectors [N, 128], for each task and for "all".

    Returns:
        Of absolute end-effector actions `<task>/position_cm` and `<task>/rotation_deg` (medians),
        `<task>/within_1cm`, `<task>/within_2cm` and `<task>/gripper` (shares); of others `<task>/error`, the median
        of the mean distance of an active slot, in standard deviations.
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
    position = 100 * np.linalg.norm(made[:, :3] - true[:, :3], axis=1)
    cosine = np.abs((made[:, 3:7] * true[:, 3:7]).sum(1)).clip(0, 1)
    rotation = np.degrees(2 * np.arccos(cosine))
    gripper = (made[:, 7] > 0.5) == (true[:, 7] > 0.5)
    errors = {}
    for name, mine in rows.items():
        errors[f"{name}/position_cm"] = float(np.median(position[mine]))
        errors[f"{name}/rotation_deg"] = float(np.median(rotation[mine]))
        errors[f"{name}/within_1cm"] = float((position[mine] < 1).mean())
        errors[f"{name}/within_2cm"] = float((position[mine] < 2).mean())
        errors[f"{name}/gripper"] = float(gripper[mine].mean())
    return errors
