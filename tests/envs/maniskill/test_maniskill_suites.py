"""The suites of ManiSkill as data: no simulator."""

import numpy as np
import pytest

from envs.maniskill import install
from envs.maniskill.settings import read_settings
from envs.maniskill.speed import row, seen_by
from envs.maniskill.tasks import TASKS
from envs.spec import InputError
from envs.suite import load_suite, protocol_hash

SUITES = (
    "maniskill5",
    "maniskill5_wide",
    "maniskill5_delta",
    "maniskill5_eef",
    "maniskill5_state",
    "maniskill_bimanual",
)


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
            for side in ("left_", "right_") if name == "maniskill_bimanual" else ("",):
                assert {f"{side}joint_6", f"{side}gripper_open", f"{side}eef_qw"} <= set(spec.proprioception)


def test_protocols_differ():
    hashes = set()
    for name in SUITES[:4]:
        suite = load_suite(name)
        for sim in suite.simulators:
            hashes.add(protocol_hash(suite.protocol([suite.spec("PickCube-v1", sim)])))
    assert len(hashes) == 8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cameras": ("wrist",)}, "no wrist camera: set robot to panda_wristcam"),
        ({"cameras": ("rendr",)}, "Did you mean 'render'?"),
        ({"control": "ee"}, "control must be one of joints, eef, delta_eef"),
        ({"goal_marker": 1}, "goal_marker must be true or false"),
        ({"object_state": None}, "object_state must be true or false"),
        ({"steps_after_success": -1}, "at least 0"),
        ({"joint_speed": 0}, "joint_speed must be null, or above 0"),
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


def test_there_is_no_object_state_of_two_arms(five):
    with pytest.raises(InputError, match="set object_state to false"):
        read_settings(five("maniskill_bimanual", object_state=True), "TwoRobotPickCube-v1")


@pytest.mark.parametrize("control", ["eef", "delta_eef"])
def test_two_arms_are_controlled_by_their_joints(five, control):
    with pytest.raises(InputError, match="set control to joints"):
        read_settings(five("maniskill_bimanual", control=control), "TwoRobotPickCube-v1")


def test_cameras_of_maniskill_stand_elsewhere_in_each_task_and_are_not_calibrated():
    assert load_suite("maniskill5").spec("PickCube-v1").cameras[0].fov is None
    assert all(view.fov is None for view in load_suite("maniskill_bimanual").spec("TwoRobotPickCube-v1").cameras)


def test_the_three_views_of_the_end_effectors_suite_are_calibrated_alike_in_all_tasks():
    suite = load_suite("maniskill5_eef")
    views = {suite.spec(task).cameras for task in suite.tasks}
    assert len(views) == 1
    assert [(view.name, view.mount) for view in views.pop()] == [
        ("opposite", "world"),
        ("side", "world"),
        ("wrist", "eef"),
    ]


def test_a_wrist_camera_for_every_task(five):
    suite = five(cameras=("render", "wrist"), robot="panda_wristcam")
    assert all(read_settings(suite, task).robots == ("panda_wristcam",) for task in suite.tasks)


def test_sentences_are_instructions():
    assert len({task.sentence for task in TASKS.values()}) == len(TASKS)
    assert all(task.sentence.isascii() and len(task.sentence) < 256 for task in TASKS.values())


def test_speed_is_measured_with_no_camera_with_one_and_with_two():
    five, two = load_suite("maniskill5_delta"), load_suite("maniskill_bimanual")
    seen = [seen_by(five, "PickCube-v1", views, 20) for views in range(3)]
    assert [suite.cameras for suite in seen] == [(), ("render",), ("render", "wrist")]
    assert [read_settings(suite, "PickCube-v1").robots for suite in seen] == [("panda",)] * 2 + [("panda_wristcam",)]
    assert all(suite.max_steps == 20 and suite.options["control"] == "joints" for suite in seen)
    assert seen_by(two, "TwoRobotPickCube-v1", 2, 20).cameras == ("render", "left_wrist")
    with pytest.raises(InputError, match="not 3"):
        seen_by(five, "PickCube-v1", 3, 20)


def test_the_speed_of_workers_adds_up_and_the_overhead_is_of_processor_time():
    # Two workers, two rounds of 30 steps: wall and processor seconds by the runner, then bare.
    seconds = np.array([[[[2.0, 1.1], [1.0, 1.0]], [[2.0, 1.3], [1.0, 1.0]]], [[[4.0, 2.2], [3.0, 2.0]]] * 2])
    assert row("PickCube-v1", 1, seconds, 30) == "| PickCube-v1 | 1 | 2 | 22 | 40 | 10.0 |"
