"""The suites of ManiSkill as data: no simulator."""

import pytest

from envs.maniskill import install
from envs.maniskill.settings import read_settings
from envs.maniskill.tasks import TASKS
from envs.spec import InputError
from envs.suite import load_suite, protocol_hash

SUITES = ("maniskill5", "maniskill5_wide", "maniskill5_delta", "maniskill_bimanual")


@pytest.fixture(autouse=True)
def versions(monkeypatch):
    monkeypatch.setattr(install, "version", lambda: "3.0.1, SAPIEN 3.0.3")


def test_the_protocol_of_rdt():
    suite = load_suite("maniskill5")
    for task in suite.tasks:
        episodes = suite.episodes(task)
        assert len(episodes) == len({episode.id for episode in episodes}) == 250
        assert {episode.seed for episode in episodes} == set(range(20241201, 20241226))
        assert all(sum(episode.seed == seed for episode in episodes) == 10 for seed in (20241201, 20241225))
        assert [episode.seed for episode in suite.episodes(task, count=25)] == list(range(20241201, 20241226))
    assert (suite.max_steps, suite.success_rule, suite.execution_horizon) == (400, "success_once", 8)
    assert suite.episodes("PickCube-v1", count=27)[-1].id == "PickCube-v1/v000/s20241202/r1"


def test_the_wide_protocol_begins_with_the_same_initial_states():
    narrow, wide = load_suite("maniskill5"), load_suite("maniskill5_wide")
    assert [e.seed for e in wide.episodes("PickCube-v1", count=25)] == [
        e.seed for e in narrow.episodes("PickCube-v1", count=25)
    ]
    assert len({e.seed for e in wide.episodes("PickCube-v1")}) == 100


@pytest.mark.parametrize("name", SUITES)
def test_every_task_of_a_suite_shares_its_protocol(name):
    suite = load_suite(name)
    specs = [suite.spec(task) for task in suite.tasks]
    assert len(protocol_hash(suite.protocol(specs))) == 12
    for spec in specs:
        assert spec.control_hz == 20 and len(spec.action_low) == spec.embodiment.native_dim
        if spec.convention.control_mode == "position":  # what the zero policy repeats
            sides = ("",) if spec.convention.embodiment == "joints" else ("left_", "right_")
            for side in sides:
                assert {f"{side}joint_6", f"{side}gripper_open"} <= set(spec.proprioception)


def test_protocols_differ():
    hashes = set()
    for name in SUITES[:3]:
        suite = load_suite(name)
        for sim in suite.simulators:
            hashes.add(protocol_hash(suite.protocol([suite.spec("PickCube-v1", sim)])))
    assert len(hashes) == 6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cameras": ("wrist",)}, "no wrist camera: set robot to panda_wristcam"),
        ({"cameras": ("rendr",)}, "Did you mean 'render'?"),
        ({"control": "ee"}, "control must be one of joints, delta_eef"),
        ({"goal_marker": 1}, "goal_marker must be true or false"),
        ({"steps_after_success": -1}, "at least 0"),
        ({"tasks": {"PickCube-v1": 2}}, "one variation"),
    ],
)
def test_mistakes_in_a_suite_are_named(five, change, said):
    with pytest.raises(InputError, match=said.replace("?", r"\?")):
        read_settings(five(**change), "PickCube-v1")


def test_unknown_and_missing_options_are_named(five):
    suite = five()
    suite.options["controll"] = "joints"
    with pytest.raises(InputError, match=r"unknown option 'controll'\. Did you mean 'control'"):
        read_settings(suite, "PickCube-v1")
    suite = five()
    del suite.options["robot"]
    with pytest.raises(InputError, match="option 'robot' is missing"):
        read_settings(suite, "PickCube-v1")


def test_two_arms_have_no_displacements(five):
    with pytest.raises(InputError, match="set control to joints"):
        read_settings(five("maniskill_bimanual", control="delta_eef"), "TwoRobotPickCube-v1")


def test_a_wrist_camera_for_every_task(five):
    suite = five(cameras=("render", "wrist"), robot="panda_wristcam")
    assert all(read_settings(suite, task).robots == ("panda_wristcam",) for task in suite.tasks)


def test_sentences_are_instructions():
    assert len({task.sentence for task in TASKS.values()}) == len(TASKS)
    assert all(task.sentence.isascii() and len(task.sentence) < 256 for task in TASKS.values())
