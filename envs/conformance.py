"""Contract checks for third parties: does my environment, or my policy, keep the rules that the runner relies on?

    check_environment(lambda: suite.make("my_task"), suite.episodes("my_task", "train", 3))
    check_policy(MyPolicy(), env.spec, [env.reset(episode)])

Both raise AssertionError with a sentence that says which rule is broken.
"""

from collections.abc import Callable, Sequence

import numpy as np

from envs.gym_env import action_space, observation_space
from envs.spec import Env, Episode, Observation, StepInfo, TaskSpec
from model.actions import ActionError, check_action
from policies.base import ActionChunk, Policy, check_compatible


def check_environment(make_env: Callable[[], Env], episodes: Sequence[Episode]) -> None:
    """Checks an adapter's environment.

    Args:
        make_env: Builds it; called twice, one environment at a time.
        episodes: At least two episodes of its task with different seeds; better three.

    Raises:
        AssertionError: Names the broken rule.
    """
    assert len({episode.seed for episode in episodes}) >= 2, "give at least two episodes with different seeds"
    env = make_env()
    try:
        _check_spec(env.spec)
        first = env.reset(episodes[0])
        _check_observation(first, env.spec, "reset")
        _check_hold(env)
        result = env.step(env.hold_action())
        _check_observation(result.observation, env.spec, "step")
        assert isinstance(result.info, StepInfo), f"step's info is {type(result.info).__name__}, not StepInfo"
        assert result.info.failure is None, f"the hold action must be executable, but: {result.info.failure}"
        other = env.reset(episodes[1])
        assert not _same(first, other), "two seeds give the same observation: reset ignores the seed"
        again = env.reset(episodes[0])
        assert _same(first, again), "reset gives another observation after other episodes: state leaks between episodes"
        before = env.reset(episodes[0]), env.step(env.hold_action()).observation
        after = env.reset(episodes[0]), env.step(env.hold_action()).observation
        assert _same(before[1], after[1]), "the same action from the same state gives another observation"
        picture = env.render()
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3, (
            f"render gives {picture.dtype} {picture.shape}, not uint8 [height, width, 3]"
        )
    finally:
        env.close()
    env.close()  # twice is allowed
    fresh = make_env()
    try:
        assert fresh.spec == env.spec, "two environments of one task declare different specs"
        # In another order: the initial state must not depend on what was played before.
        fresh.reset(episodes[1])
        assert _same(first, fresh.reset(episodes[0])), "a fresh environment gives another initial observation"
    finally:
        fresh.close()


def check_policy(policy: Policy, task: TaskSpec, observations: Sequence[Observation]) -> None:
    """Checks a policy on a task's observations, as many as wanted, each the start of an episode.

    Raises:
        AssertionError: Names the broken rule.
        InputError: The policy does not fit the task.
    """
    check_compatible(policy, task)
    for observation in observations:
        kept = _copy(observation)
        chunk = _first_chunk(policy, task, observation, seed=1)
        assert _same(kept, observation), "act changed the observation in place"
        for action in chunk.actions:
            try:
                check_action(action, task.embodiment)
            except ActionError as error:
                raise AssertionError(f"act gave an action that cannot be executed: {error}") from None
        inactive = chunk.actions[:, ~task.embodiment.mask]
        assert not np.any(inactive), f"slots that {task.embodiment.name} does not use must be zero"
        _first_chunk(policy, task, observation, seed=2)
        again = _first_chunk(policy, task, observation, seed=1)
        assert np.array_equal(chunk.actions, again.actions), (
            "the same seed and observation give another chunk: draw all randomness from reset's seed"
        )


def _first_chunk(policy: Policy, task: TaskSpec, observation: Observation, seed: int) -> ActionChunk:
    policy.reset(task, seed)
    chunk = policy.act(observation)
    assert isinstance(chunk, ActionChunk), f"act returned {type(chunk).__name__}, not ActionChunk"
    assert isinstance(chunk.actions, np.ndarray), f"chunk.actions is {type(chunk.actions).__name__}, not a numpy array"
    assert chunk.actions.dtype == np.float32, f"chunk.actions has dtype {chunk.actions.dtype}, not float32"
    assert len(chunk.actions) == policy.spec.horizon, (
        f"the chunk has {len(chunk.actions)} actions, the policy's spec declares a horizon of {policy.spec.horizon}"
    )
    assert all(seconds >= 0 for seconds in chunk.spans.values()), "spans are durations in seconds, at least 0"
    return chunk


def _check_spec(spec: TaskSpec) -> None:
    native = spec.embodiment.native_dim
    for name in ("action_low", "action_high"):
        bounds = getattr(spec, name)
        assert len(bounds) == native, f"{name} has {len(bounds)} entries, {spec.embodiment.name} takes {native}"
        assert np.all(np.isfinite(bounds)), f"{name} must be finite"
    assert np.all(np.less_equal(spec.action_low, spec.action_high)), "action_low exceeds action_high"
    assert len(set(spec.proprioception)) == len(spec.proprioception), "two proprioception entries have one name"
    assert spec.success_rule in ("success_once", "success_at_end"), f"unknown success rule {spec.success_rule!r}"
    assert spec.max_steps >= 1 and spec.variations >= 1, "max_steps and variations are at least 1"
    assert spec.control_hz is None or spec.control_hz > 0, "control_hz is positive, or None for keyframe control"
    action_space(spec)


def _check_observation(observation: Observation, spec: TaskSpec, source: str) -> None:
    space = observation_space(spec)
    for name, part in space.spaces.items():
        assert name in observation, f"{source}'s observation has no {name!r}"
        if name == "images":
            cameras = [camera.name for camera in spec.cameras]
            assert list(observation[name]) == cameras, f"{source}'s images are {list(observation[name])}, not {cameras}"
            for camera in cameras:
                image = np.asarray(observation[name][camera])
                assert part[camera].contains(image), (  # type: ignore[index]
                    f"{source}'s image {camera!r} is {image.dtype} {image.shape}; the spec declares uint8 "
                    f"{part[camera].shape}"  # type: ignore[index]
                )
        else:
            finite = name != "proprioception" or np.all(np.isfinite(observation[name]))
            assert finite, f"{source}'s proprioception holds NaN or infinite values"
            assert part.contains(observation[name]), f"{source}'s {name} is not in {part}: {observation[name]!r}"


def _check_hold(env: Env) -> None:
    hold = env.hold_action()
    try:
        check_action(hold, env.spec.embodiment)
    except ActionError as error:
        raise AssertionError(f"the hold action cannot be executed: {error}") from None
    assert hold.dtype == np.float32, f"the hold action has dtype {hold.dtype}, not float32"


def _copy(observation: Observation) -> Observation:
    return observation | {
        "images": {name: image.copy() for name, image in observation["images"].items()},
        "proprioception": observation["proprioception"].copy(),
    }


def _same(one: Observation, other: Observation) -> bool:
    return (
        one["instruction"] == other["instruction"]
        and np.array_equal(one["proprioception"], other["proprioception"])
        and all(np.array_equal(image, other["images"][name]) for name, image in one["images"].items())
    )
