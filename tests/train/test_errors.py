"""Errors of generated actions, apart for the frames where copying the hand's pose is wrong."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from model.actions import EMBODIMENTS, KEYFRAME_EEF
from model.normalize import Normalizer
from train.errors import action_errors, decisions


def poses(rows: list[tuple[float, float, float, float]]) -> np.ndarray:
    """x y z (m) and a turn about the vertical (degrees) as x y z, quaternion xyzw."""
    turned = [Rotation.from_euler("z", yaw, degrees=True).as_quat() for *_, yaw in rows]
    return np.concatenate([np.array(rows)[:, :3], turned], axis=1)


HAND = poses([(0, 0, 1, 0), (0, 0, 1, 0), (0, 0, 1, 0), (0, 0, 1, 0)])
GOAL = poses([(0, 0, 0.8, 0), (0, 0, 1, 30), (0.2, 0, 1, 0), (0.02, 0, 1, -4)])


def test_decisions_are_turns_and_ways():
    found = decisions(HAND.astype(np.float32), np.column_stack([GOAL, np.ones(4)]))
    assert found["turning"].tolist() == [False, True, False, False]
    assert found["travelling"].tolist() == [False, False, True, False]  # rising and sinking is no way
    other_sign = np.column_stack([GOAL[:, :3], -GOAL[:, 3:], np.ones(4)])
    assert decisions(HAND.astype(np.float32), other_sign)["turning"].tolist() == found["turning"].tolist()


def test_a_policy_that_copies_the_hand_is_found_out():
    """Right on the median frame, wrong on each that needs a decision."""
    robot = EMBODIMENTS[KEYFRAME_EEF.embodiment]
    actions = np.column_stack([GOAL, [1.0, 0.0, 1.0, 1.0]])
    normalizer = Normalizer.fit(robot.name, actions, np.zeros((4, 1), np.float32))

    def internal(native: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(normalizer.to_internal(robot.encode(native)))

    copied = np.column_stack([HAND, [1.0, 0.0, 0.0, 1.0]])
    groups = decisions(HAND.astype(np.float32), actions)
    errors = action_errors(internal(copied), internal(actions), list("aabb"), normalizer, groups)
    assert errors["all/rotation_deg"] == pytest.approx(2, abs=0.05) and errors["all/within_10deg"] == 0.75
    assert errors["turning/rotation_deg"] == pytest.approx(30, abs=0.05) and errors["turning/within_10deg"] == 0
    assert errors["travelling/position_cm"] == pytest.approx(20, abs=0.05) and errors["travelling/gripper"] == 0
    assert errors["a/gripper"] == 1 and errors["b/gripper"] == 0.5
    without = action_errors(internal(copied), internal(actions), list("aabb"), normalizer)
    assert without == {name: value for name, value in errors.items() if name.split("/")[0] in ("all", "a", "b")}


def test_no_decision_no_entry():
    robot = EMBODIMENTS[KEYFRAME_EEF.embodiment]
    actions = np.column_stack([HAND + np.array([0.001, 0, 0, 0, 0, 0, 0]), np.ones(4)])
    normalizer = Normalizer.fit(robot.name, actions, np.zeros((4, 1), np.float32))
    same = torch.from_numpy(normalizer.to_internal(robot.encode(actions)))
    errors = action_errors(same, same, list("aaaa"), normalizer, decisions(HAND.astype(np.float32), actions))
    assert not any(name.startswith(("turning", "travelling")) for name in errors)
