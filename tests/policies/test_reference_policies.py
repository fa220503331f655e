from dataclasses import replace

import numpy as np
import pytest

from envs.conformance import check_policy
from envs.mock import task_spec
from envs.spec import InputError
from envs.suite import load_suite
from model.actions import EMBODIMENTS, ActionConvention, check_action
from policies.registry import make_policy
from policies.zero import HOLD

ARM = (*(f"joint_{k}" for k in range(7)), "gripper_open")
ARMS = tuple(f"{side}_{name}" for side in ("left", "right") for name in ARM)
OBSERVED = {
    "joints": ARM,
    "bimanual_joints": ARMS,
    "aloha": ARMS,
    "delta_eef": ("time",),
    "dexterous": (*(HOLD[slot] for slot in range(7)), *(f"finger_{k}" for k in range(16))),
}


def spec_for(embodiment, names):
    spec = task_spec(load_suite("mock"), "reach", "mock")
    size = EMBODIMENTS[embodiment].native_dim
    convention = ActionConvention(embodiment, "base", "none", "none", "position")
    bounds = {"action_low": (-0.5,) * size, "action_high": (0.5,) * size}
    return replace(spec, convention=convention, proprioception=tuple(names), **bounds)


def observe(numbers):
    return {"images": {}, "proprioception": np.array(numbers, dtype=np.float32), "instruction": "hold still"}


@pytest.fixture
def mock():
    suite = load_suite("mock")
    env = suite.make("pick")
    return env, env.reset(suite.episodes("pick")[0])


@pytest.mark.parametrize("name", ["zero", "random"])
def test_reference_policies_keep_the_contract(name, mock):
    env, observation = mock
    check_policy(make_policy(name), env.spec, [observation])


def test_the_expert_keeps_the_contract(mock):
    env, observation = mock
    expert = make_policy("expert")
    assert expert.info.privileged
    with pytest.raises(InputError, match="attach"):
        expert.act(observation)
    expert.attach(env)
    check_policy(expert, env.spec, [observation])


def test_zero_is_the_environments_own_hold_action(mock):
    env, observation = mock
    policy = make_policy("zero")
    policy.reset(env.spec, 0)
    assert np.allclose(policy.act(observation).actions[0], env.hold_action(), atol=1e-6)


@pytest.mark.parametrize("embodiment", list(OBSERVED))
def test_zero_holds_every_embodiment(embodiment):
    names = OBSERVED[embodiment]
    spec = spec_for(embodiment, names)
    policy = make_policy("zero")
    policy.reset(spec, 0)
    values = dict(zip(names, np.arange(1, len(names) + 1) / 10, strict=True))
    action = policy.act(observe(list(values.values()))).actions[0]
    for slot in spec.embodiment.slots:
        expected = 0.0 if embodiment == "delta_eef" else values[HOLD[slot]]
        assert action[slot] == pytest.approx(expected)
    assert not action[~spec.embodiment.mask].any()


def test_zero_refuses_what_it_cannot_read():
    with pytest.raises(InputError, match="'joint_3'"):
        make_policy("zero").reset(spec_for("joints", [name for name in ARM if name != "joint_3"]), 0)


def test_random_actions_are_valid_within_bounds_and_seeded(mock):
    env, observation = mock
    policy = make_policy("random")

    def draw(seed):
        policy.reset(env.spec, seed)
        return np.array([policy.act(observation).actions[0] for _ in range(200)])

    actions = draw(1)
    assert np.array_equal(actions, draw(1)) and not np.array_equal(actions, draw(2))
    for action in actions:
        check_action(action, env.spec.embodiment)
    low, high = np.array(env.spec.action_low[:3]), np.array(env.spec.action_high[:3])
    middle, spread = (low + high) / 2, (high - low) / 2
    assert np.all(np.abs(actions[:, :3] - middle) <= spread + 1e-6)
    assert np.all(np.abs(actions[:, :3].mean(axis=0) - middle) < 0.2 * spread)
    assert set(actions[:, 7]) == {0.0, 1.0}
    assert np.all(np.abs(actions[:, 3:7].mean(axis=0)) < 0.2)  # no preferred rotation


@pytest.mark.parametrize("embodiment", list(OBSERVED))
def test_random_fits_every_embodiment(embodiment):
    policy = make_policy("random")
    spec = spec_for(embodiment, OBSERVED[embodiment])
    policy.reset(spec, 0)
    check_action(policy.act(observe([])).actions[0], spec.embodiment)


def test_the_expert_of_a_task_without_one_is_refused(mock):
    env, observation = mock

    def none():
        raise NotImplementedError("pick has no scripted expert")

    env.expert_action = none
    expert = make_policy("expert")
    expert.attach(env)
    with pytest.raises(InputError, match="choose another policy"):
        expert.act(observation)
