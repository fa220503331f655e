import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.actions import (
    ACTION_DIM,
    EMBODIMENTS,
    KEYFRAME_EEF,
    ActionConvention,
    ActionError,
    check_action,
)

embodiments = st.sampled_from(list(EMBODIMENTS.values()))
numbers = st.floats(-1e6, 1e6, width=32)
EEF = EMBODIMENTS["absolute_eef"]


def valid():
    return EEF.encode(np.array([0.3, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0]))


@given(st.data(), embodiments, st.integers(1, 4))
def test_decode_inverts_encode_and_unused_slots_stay_zero(data, embodiment, batch):
    native = data.draw(arrays(np.float32, (batch, embodiment.native_dim), elements=numbers))
    action = embodiment.encode(native)
    assert action.shape == (batch, ACTION_DIM) and action.dtype == np.float32
    assert np.array_equal(embodiment.decode(action), native)
    assert not action[:, ~embodiment.mask].any()


@given(st.data(), embodiments)
def test_encode_inverts_decode_on_used_slots(data, embodiment):
    action = data.draw(arrays(np.float32, ACTION_DIM, elements=numbers))
    again = embodiment.encode(embodiment.decode(action))
    assert np.array_equal(again[embodiment.mask], action[embodiment.mask])


@given(embodiments, st.integers(0, 40))
def test_wrong_lengths_are_refused(embodiment, length):
    if length != embodiment.native_dim:
        with pytest.raises(ActionError, match=embodiment.name):
            embodiment.encode(np.zeros(length))
    with pytest.raises(ActionError, match="128"):
        embodiment.decode(np.zeros(length))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("absolute_eef", 8),
        ("joints", 8),
        ("bimanual_joints", 16),
        ("dexterous", 23),
        ("delta_eef", 8),
        ("aloha", 14),
    ],
)
def test_masks_have_the_declared_number_of_slots(name, count):
    embodiment = EMBODIMENTS[name]
    assert embodiment.native_dim == embodiment.mask.sum() == count
    assert len(set(embodiment.slots)) == count


def test_ids_are_the_published_ones():
    order = ["absolute_eef", "joints", "bimanual_joints", "dexterous", "delta_eef", "aloha"]
    assert [EMBODIMENTS[name].id for name in order] == list(range(6))


def test_a_valid_action_passes():
    check_action(valid(), EEF)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_non_finite_numbers_are_refused_on_used_slots_only(number):
    action = valid()
    action[100] = number
    check_action(action, EEF)
    action[0] = number
    with pytest.raises(ActionError, match="NaN"):
        check_action(action, EEF)


@given(st.floats(0, 10).filter(lambda scale: abs(scale - 1) > 2e-3))
def test_quaternions_that_are_not_unit_are_refused(scale):
    action = valid()
    action[3:7] *= scale
    with pytest.raises(ActionError, match="quaternion"):
        check_action(action, EEF)


def test_other_shapes_and_types_are_refused():
    with pytest.raises(ActionError, match="shape"):
        check_action(np.zeros(8), EEF)
    with pytest.raises(ActionError, match="non-numeric"):
        check_action(np.array(["a"] * ACTION_DIM), EMBODIMENTS["joints"])


def test_conventions_name_known_embodiments():
    assert KEYFRAME_EEF.embodiment in EMBODIMENTS
    with pytest.raises(ValueError, match="tentacle"):
        ActionConvention("tentacle", "world", "none", "none", "position")
