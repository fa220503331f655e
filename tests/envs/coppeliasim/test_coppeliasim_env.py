import os
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from envs.conformance import check_environment
from envs.coppeliasim.env import CoppeliaEnv
from envs.spec import Episode, InputError, SimulatorError
from model.actions import EMBODIMENTS

DOWN = (0.0, 1.0, 0.0, 0.0)


def encode(position, quaternion=DOWN, gripper=1.0):
    return EMBODIMENTS["absolute_eef"].encode([*position, *quaternion, gripper])


def episode(task="turn_tap", variation=1, seed=7):
    return Episode("rlbench18", task, variation, seed)


def same(one, other):
    return (
        one["instruction"] == other["instruction"]
        and np.array_equal(one["proprioception"], other["proprioception"])
        and all(np.array_equal(image, other["images"][name]) for name, image in one["images"].items())
    )


@pytest.fixture
def env(flavour, rlbench):
    made = rlbench.make("turn_tap", "coppeliasim")
    yield made
    made.close()


def entry(env, observation, name):
    return observation["proprioception"][env.spec.proprioception.index(name)]


def test_it_keeps_the_contract(flavour, rlbench):
    check_environment(lambda: rlbench.make("stack_blocks", "coppeliasim"), rlbench.episodes("stack_blocks", "train", 3))


def test_the_facts_need_no_launch(flavour, rlbench, happened):
    spec = rlbench.spec("turn_tap", "coppeliasim")
    assert happened() == []
    assert spec.simulator == "coppeliasim" and spec.variations == 2 and spec.max_steps == 25
    assert spec.simulator_version == (
        f"4.1.0, PyRep 4.1.0.3, RLBench 1.2.0 ({'PerAct fork' if flavour == 'fork' else 'upstream'})"
    )
    env = rlbench.make("turn_tap", "coppeliasim")
    assert env.spec == spec
    env.close()


def test_facts_that_both_back_ends_share(coppelia, rlbench):
    pytest.importorskip("mujoco")
    ours, theirs = (rlbench.spec("turn_tap", sim) for sim in ("coppeliasim", "mujoco"))
    own = {"simulator", "simulator_version", "adapter_version"}
    assert {name: value for name, value in vars(ours).items() if name not in own} == {
        name: value for name, value in vars(theirs).items() if name not in own
    }


def test_a_quaternion_arrives_xyzw_and_with_the_length_of_the_flavour(env, flavour):
    import rlbench.action_modes.action_mode as action_mode

    quaternion = Rotation.from_euler("xyz", [0.3, -0.7, 2.0]).as_quat()  # no two entries are alike
    env.reset(episode())
    result = env.step(encode((0.3, 0.1, 1.0), quaternion, 0.0))
    sent = action_mode.SEEN[-1]
    assert sent.shape == ((9,) if flavour == "fork" else (8,))
    np.testing.assert_allclose(sent[:7], [0.3, 0.1, 1.0, *quaternion], atol=1e-6)
    assert np.linalg.norm(sent[3:7]) == pytest.approx(1.0, abs=1e-12)
    assert sent[7:].tolist() == ([0.0, 1.0] if flavour == "fork" else [0.0])
    named = [entry(env, result.observation, f"eef_{name}") for name in ("qx", "qy", "qz", "qw")]
    sign = np.sign(quaternion[np.abs(quaternion).argmax()])
    np.testing.assert_allclose(named, sign * quaternion, atol=1e-6)


def test_a_quaternion_is_observed_with_its_largest_entry_positive(env):
    env.reset(episode())
    result = env.step(encode((0.3, 0.1, 1.0), (0.1, -np.sqrt(0.98), 0.1, 0.0)))
    assert entry(env, result.observation, "eef_qy") > 0.9
    assert env.hold_action()[4] > 0.9


def test_a_slightly_long_quaternion_is_made_a_unit_one(env):
    env.reset(episode())
    assert env.step(encode((0.3, 0.1, 1.0), np.array(DOWN) * 1.0005)).info.failure is None


@pytest.mark.parametrize(("command", "opened"), [(0.0, 0.0), (0.5, 0.0), (0.51, 1.0), (1.0, 1.0)])
def test_the_gripper_opens_above_one_half(env, command, opened):
    env.reset(episode())
    env.step(encode((0.3, 0.1, 1.0), gripper=1.0 - opened))
    result = env.step(encode((0.3, 0.1, 1.0), gripper=command))
    assert entry(env, result.observation, "gripper_open") == opened
    assert entry(env, result.observation, "finger_left") == pytest.approx(0.04 * opened)
    assert env.hold_action()[7] == opened


def test_images_are_those_of_the_cameras(env):
    import rlbench.backend.scene as scene
    from pyrep.const import RenderMode

    observation = env.reset(episode())
    assert list(observation["images"]) == ["left_shoulder", "right_shoulder", "overhead", "wrist", "front"]
    assert set(scene.MODES.values()) == {RenderMode.OPENGL} and len(scene.MODES) == 5
    corners = set()
    for image in observation["images"].values():
        assert image.dtype == np.uint8 and image.shape == (128, 128, 3)
        corners.add(int(image[0, 0, 0]))
    assert corners == {25, 51, 76, 102, 127}, "each camera has its own picture"


def test_only_the_cameras_of_the_suite_are_rendered(flavour, rlbench):
    import rlbench.backend.scene as scene

    env = replace(rlbench, cameras=("front", "wrist"), image_size=64).make("turn_tap", "coppeliasim")
    images = env.reset(episode())["images"]
    assert list(images) == ["front", "wrist"] and images["front"].shape == (64, 64, 3)
    assert set(scene.MODES) == {"front", "wrist"}
    env.close()


def test_time_runs_from_one_to_minus_one(env):
    times = [entry(env, env.reset(episode()), "time")]
    times += [entry(env, env.step(env.hold_action()).observation, "time") for _ in range(25)]
    np.testing.assert_allclose(times, [*np.linspace(1, -1, 25), -1], atol=1e-6)


def test_the_start_is_a_function_of_the_episode(env):
    first = env.reset(episode())
    assert first["instruction"] == "turn_tap, variation 1"
    env.step(encode((0.1, 0.1, 1.0)))
    np.random.seed(3)
    others = [env.reset(other) for other in (episode(seed=8), episode(variation=0))]
    assert not any(same(first, other) for other in others)
    assert same(first, env.reset(episode()))


def test_the_callers_generator_is_left_alone(env):
    np.random.seed(5)
    expected = np.random.random(3)
    np.random.seed(5)
    env.reset(episode())
    env.step(env.hold_action())
    assert np.array_equal(np.random.random(3), expected)


def test_success_ends_the_episode_at_once(env):
    import pyrep.backend.sim as sim

    env.reset(episode())
    target = sim.world.target.copy()
    above = env.step(encode(target + np.array([0, 0, 0.2])))
    assert not above.done and not above.info.success
    reached = env.step(encode(target, gripper=0.0))
    assert reached.done and reached.info.success and reached.info.failure is None
    assert reached.info.seconds["rlbench"] > 0


UNREACHABLE = {
    (0.72, 0.0, 1.0): "InvalidActionError: a path could not be found",
    (0.9, 0.0, 1.0): "InvalidActionError: outside of the workspace",
    (0.3, 0.63, 1.0): "ConfigurationPathError",
    (0.3, -0.63, 1.0): "IKError",
    (-0.26, 0.0, 1.0): "ConfigurationError",
}


@pytest.mark.parametrize("position", list(UNREACHABLE))
def test_what_the_planner_refuses_is_the_policys_failure(env, position):
    env.reset(episode())
    before = env.step(encode((0.3, 0.1, 1.0))).observation
    result = env.step(encode(position))
    assert result.done and result.info.planner_failure and not result.info.success
    assert UNREACHABLE[position] in result.info.failure
    assert same(result.observation, before), "the previous observation"


def test_an_action_without_sense_is_a_failure_but_not_the_planners(env):
    env.reset(episode())
    result = env.step(encode((0.3, 0.1, 1.0), (0, 0, 0, 2.0)))
    assert result.done and "norm 2" in result.info.failure and not result.info.planner_failure


def test_anything_else_is_the_simulators(env, monkeypatch):
    env.reset(episode())
    monkeypatch.setenv("COPPELIA_DOUBLE_FAULT", "step")
    with pytest.raises(SimulatorError, match="engine"):
        env.step(encode((0.3, 0.1, 1.0)))


def test_a_placement_that_fails_is_the_simulators(flavour, coppelia, rlbench):
    coppelia(flavour, fault="placement")
    env = rlbench.make("turn_tap", "coppeliasim")
    with pytest.raises(SimulatorError, match="TaskEnvironmentError"):
        env.reset(episode())


def test_a_variation_that_is_not_there(env):
    with pytest.raises(InputError, match=r"0\.\.1, not 2"):
        env.reset(episode(variation=2))


def test_reset_comes_first(env):
    for call in (env.hold_action, env.expert_action, lambda: env.step(encode((0.3, 0.1, 1.0)))):
        with pytest.raises(RuntimeError, match="reset"):
            call()


def test_one_simulator_a_process_and_it_is_shut_down(flavour, rlbench, happened):
    env = rlbench.make("turn_tap", "coppeliasim")
    with pytest.raises(SimulatorError, match="once a process"):
        rlbench.make("open_drawer", "coppeliasim")
    env.close()
    env.close()
    assert [event for _, event in happened()] == ["launch", "task turn_tap", "shutdown"]
    rlbench.make("open_drawer", "coppeliasim").close()
    assert [event for _, event in happened()][3:] == ["launch", "task open_drawer", "shutdown"]


def test_a_change_of_task_needs_no_new_launch(env, happened):
    first = env.reset(episode())
    assert env.change_task("open_drawer")
    assert env.spec.task == "open_drawer" and env.spec.variations == 3
    with pytest.raises(RuntimeError, match="reset"):
        env.hold_action()
    assert env.reset(episode("open_drawer", 2))["instruction"] == "open_drawer, variation 2"
    assert env.change_task("turn_tap") and same(first, env.reset(episode()))
    assert [event for _, event in happened()].count("launch") == 1


@pytest.mark.parametrize("fault", ["launch", "load"])
def test_a_failed_start_leaves_nothing_behind(coppelia, rlbench, happened, fault):
    coppelia("fork", fault=fault)
    before = os.getcwd()
    with pytest.raises(SimulatorError, match=rf"does not start.*{fault}"):
        rlbench.make("turn_tap", "coppeliasim")
    assert os.getcwd() == before
    assert [event for _, event in happened()] == ["launch", "shutdown"] and CoppeliaEnv._launched is None


def test_a_simulator_that_does_not_close_is_given_up(coppelia, rlbench, monkeypatch):
    env = rlbench.make("turn_tap", "coppeliasim")
    monkeypatch.setenv("COPPELIA_DOUBLE_FAULT", "shutdown")
    with pytest.raises(RuntimeError, match="shutdown"):
        env.close()
    env.close()
    assert CoppeliaEnv._launched is None


def test_grasping_by_friction_alone_is_handed_on(coppelia, rlbench):
    physical = replace(rlbench, options=rlbench.options | {"grasp": "physical"})
    for suite, attaches in ((rlbench, True), (physical, False)):
        env = suite.make("turn_tap", "coppeliasim")
        assert env._environment._action_mode.gripper_action_mode._attach_grasped_objects is attaches
        env.close()
    with pytest.raises(InputError, match="grasp"):
        replace(rlbench, options=rlbench.options | {"grasp": "glue"}).make("turn_tap", "coppeliasim")


def test_a_picture_for_people(env):
    env.reset(episode())
    start = env.render(48, 64)
    assert start.dtype == np.uint8 and start.shape == (48, 64, 3)
    env.step(encode((0.1, 0.3, 0.8)))
    assert not np.array_equal(start, env.render(48, 64))
    assert env.render().shape == (480, 640, 3)


def test_the_expert_plays_rlbenchs_own_solution(env):
    start = env.reset(episode())
    actions, result = [], None
    while result is None or not result.done:
        actions.append(env.expert_action())
        result = env.step(actions[-1])
    assert result.info.success and 3 <= len(actions) <= 6
    assert same(start, env.reset(episode()))


def test_the_expert_tries_again_from_the_same_start(env, monkeypatch):
    env.reset(episode())
    straight = env.expert_action()
    monkeypatch.setenv("COPPELIA_DOUBLE_FAULT", "solve:9")
    env.reset(episode())
    assert np.array_equal(env.expert_action(), straight)
    monkeypatch.setenv("COPPELIA_DOUBLE_FAULT", "solve:10")
    env.reset(episode())
    with pytest.raises(SimulatorError, match=r"cannot solve .* 10 times: RuntimeError"):
        env.expert_action()


def test_the_expert_is_asked_from_the_start_on(env, happened):
    env.reset(episode())
    env.step(env.hold_action())
    with pytest.raises(RuntimeError, match="first action on"):
        env.expert_action()
    env.reset(episode())
    env.expert_action()
    env.step(env.hold_action())
    env.expert_action()
