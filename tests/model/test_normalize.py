import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from model.actions import EMBODIMENTS, check_action
from model.normalize import (
    MINIMUM_STD,
    ROTATION_6D,
    Normalizer,
    canonical_quaternion,
    internal_mask,
    quaternion_from_6d,
    quaternion_to_6d,
)

NUMBERS = st.floats(-3, 3, width=32)


def quaternions(n: int, seed: int = 0) -> np.ndarray:
    q = np.random.default_rng(seed).normal(size=(n, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def natives(name: str, n: int = 50, seed: int = 0) -> np.ndarray:
    """Plausible native actions, quaternions valid where there are any."""
    robot, rng = EMBODIMENTS[name], np.random.default_rng(seed)
    native = rng.uniform(0, 1, (n, robot.native_dim))
    if internal_mask(robot)[ROTATION_6D].any():
        native[:, 3:7] = canonical_quaternion(quaternions(n, seed))
    return native.astype(np.float32)


def fitted(name: str, n: int = 50) -> Normalizer:
    return Normalizer.fit(name, natives(name, n), np.random.default_rng(1).normal(size=(n, 5)))


@given(arrays(np.float64, 4, elements=NUMBERS))
def test_rotations_survive_the_six_numbers(q):
    if np.linalg.norm(q) < 1e-2:
        return
    back = quaternion_from_6d(quaternion_to_6d(q))
    assert np.allclose(back, canonical_quaternion(q), atol=1e-6) or np.abs(back @ canonical_quaternion(q)) > 1 - 1e-9
    assert np.allclose(canonical_quaternion(-q), canonical_quaternion(q))


def test_the_six_numbers_are_the_first_two_columns():
    q = quaternions(20)
    matrix = Rotation.from_quat(q).as_matrix()
    six = quaternion_to_6d(q)
    assert np.allclose(six[:, :3], matrix[:, :, 0]) and np.allclose(six[:, 3:], matrix[:, :, 1])


def test_half_turns_keep_their_sign():
    for q in np.eye(4):
        assert np.allclose(quaternion_from_6d(quaternion_to_6d(-q)), q)


@given(arrays(np.float64, 6, elements=NUMBERS))
def test_any_six_numbers_make_a_rotation(six):
    q = quaternion_from_6d(six)
    assert np.linalg.norm(q) == pytest.approx(1) and q[3] > -1e-6


@pytest.mark.parametrize("name", EMBODIMENTS)
def test_actions_come_back(name):
    robot, normalizer = EMBODIMENTS[name], fitted(name)
    action = robot.encode(natives(name, seed=7))
    internal = normalizer.to_internal(action)
    assert np.allclose(normalizer.to_action(internal), action, atol=2e-5)
    assert not internal[:, ~normalizer.mask].any()
    assert normalizer.mask.sum() == robot.native_dim + (2 if normalizer.mask[ROTATION_6D].any() else 0)


@settings(max_examples=50)
@given(arrays(np.float32, 128, elements=NUMBERS))
def test_whatever_the_network_says_can_be_executed(internal):
    robot = EMBODIMENTS["absolute_eef"]
    action = fitted("absolute_eef").to_action(internal)
    check_action(action, robot)
    assert 0 <= action[7] <= 1 and not action[8:].any()


def test_the_training_set_is_centred_and_scaled():
    normalizer = fitted("absolute_eef")
    internal = normalizer.to_internal(EMBODIMENTS["absolute_eef"].encode(natives("absolute_eef")))
    assert np.allclose(internal[:, :3].mean(0), 0, atol=1e-5) and np.allclose(internal[:, :3].std(0), 1, atol=1e-4)
    assert np.abs(internal[:, 7]).max() <= 0.5 and not internal[:, 3:7].any()


def test_what_never_moves_does_not_amplify_noise():
    native = natives("absolute_eef")
    native[:, 2] = 0.8
    state = np.zeros((50, 5))
    normalizer = Normalizer.fit("absolute_eef", native, state)
    assert normalizer.std[2] == MINIMUM_STD
    assert np.array_equal(normalizer.proprioception(np.ones(5)), np.full(5, 5.0, np.float32))


def test_it_survives_json():
    normalizer = fitted("absolute_eef")
    assert Normalizer.from_dict(json.loads(json.dumps(normalizer.to_dict()))) == normalizer
