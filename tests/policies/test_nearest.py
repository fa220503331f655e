from dataclasses import replace

import numpy as np
import pytest
from made_up import dataset

from envs.conformance import check_policy
from envs.spec import Camera, InputError
from envs.suite import load_suite
from model.actions import KEYFRAME_EEF
from policies.nearest import Memory, shrink
from policies.registry import make_policy
from train.demonstrations import Demonstrations
from train.memory import main, remember

DEMOS = dataset(episodes=8, keyframes=3)


@pytest.fixture
def path(tmp_path):
    remember(Demonstrations(DEMOS), side=8, horizon=2).save(tmp_path / "memory.npz")
    return tmp_path / "memory.npz"


def task():
    spec = load_suite("rlbench18").spec("open_drawer")
    cameras = tuple(Camera(name, 32, 32) for name in DEMOS.cameras)
    return replace(spec, cameras=cameras, proprioception=("other", *DEMOS.proprioception_names))


def observe(row, sentence=None):
    return {
        "images": {name: DEMOS.images[row, view] for view, name in enumerate(DEMOS.cameras)},
        "proprioception": np.concatenate([[9.0], DEMOS.proprioception[row]]).astype(np.float32),
        "instruction": sentence or DEMOS.instructions[row],
    }


def test_the_contract(path):
    check_policy(make_policy("nearest", str(path)), task(), [observe(0), observe(5)])


def test_every_demonstrated_frame_finds_itself_and_what_followed(path):
    policy = make_policy("nearest", str(path))
    policy.reset(task(), 0)
    for row in range(len(DEMOS.actions)):
        chunk = policy.act(observe(row)).actions
        last = DEMOS.episode_index[min(row + 1, len(DEMOS.actions) - 1)] != DEMOS.episode_index[row]
        following = DEMOS.actions[row if last else min(row + 1, len(DEMOS.actions) - 1)]
        assert chunk[:, :8] == pytest.approx(np.stack([DEMOS.actions[row], following]), abs=1e-6)


def test_looks_and_posture_both_count(path):
    policy = make_policy("nearest", str(path))
    policy.reset(task(), 0)
    observation = observe(0)
    for part in ("images", "proprioception"):
        mixed = observation | {part: observe(4)[part], "instruction": DEMOS.instructions[0]}
        rows = policy._memory
        looks = np.abs(rows.pictures - shrink(np.stack(list(mixed["images"].values())), 8).astype(int))
        posture = np.linalg.norm((rows.proprioception - mixed["proprioception"][1:]) / rows.spread, axis=1)
        scale = rows.facts.picture_scale, rows.facts.proprioception_scale
        distance = looks.mean(axis=(1, 2, 3, 4)) / scale[0] + posture / scale[1]
        mine = [row for row, text in enumerate(DEMOS.instructions) if text == DEMOS.instructions[0]]
        best = min(mine, key=lambda row: distance[row])
        assert policy.act(mixed).actions[0, :8] == pytest.approx(DEMOS.actions[best], abs=1e-6)


def test_only_demonstrations_of_the_sentence_are_looked_at(tmp_path):
    half = len(DEMOS.instructions) // 2
    said = ["open the red drawer"] * half + ["open the blue drawer"] * half
    path = tmp_path / "memory.npz"
    remember(Demonstrations(replace(DEMOS, instructions=said)), side=8, horizon=1).save(path)
    policy = make_policy("nearest", str(path))
    policy.reset(task(), 0)
    assert policy.act(observe(0, said[0])).actions[0, :8] == pytest.approx(DEMOS.actions[0], abs=1e-6)
    other = policy.act(observe(0, said[-1])).actions[0, :8]
    assert any(np.allclose(other, action, atol=1e-6) for action in DEMOS.actions[half:])
    near = policy.act(observe(0, "please open that red drawer")).actions[0, :8]
    assert near == pytest.approx(DEMOS.actions[0], abs=1e-6)


def test_the_same_demonstrations_give_the_same_bytes(path, tmp_path):
    again = tmp_path / "again.npz"
    remember(Demonstrations(DEMOS), side=8, horizon=2).save(again)
    assert path.read_bytes() == again.read_bytes()
    assert make_policy("nearest", str(path)).info == make_policy("nearest", str(again)).info


def test_pictures_are_means_of_blocks():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2, :2] = 200
    image[3, 3] = 40
    assert shrink(image, 2)[..., 0].tolist() == [[200, 0], [0, 10]]
    with pytest.raises(InputError, match="--side"):
        shrink(image, 3)


def test_clear_errors(path, tmp_path, capsys):
    with pytest.raises(InputError, match=r"train\.memory"):
        make_policy("nearest")
    with pytest.raises(InputError, match="there is no memory"):
        make_policy("nearest", str(tmp_path / "none.npz"))
    torn = tmp_path / "torn.npz"
    for content in (b"", b"nothing of the kind", path.read_bytes()[:-50]):
        torn.write_bytes(content)
        with pytest.raises(InputError, match="is no memory"):
            make_policy("nearest", str(torn))
    other = tmp_path / "other.npz"
    np.savez(other, header=np.array('{"format": "another"}'))
    with pytest.raises(InputError, match="is no memory"):
        make_policy("nearest", str(other))
    policy = make_policy("nearest", str(path))
    with pytest.raises(InputError, match="eef_x"):
        policy.reset(replace(task(), proprioception=("time", "gripper_open")), 0)
    assert main(["--suite", "rlbench18", "--data", str(tmp_path / "missing")]) == 2
    assert "error:" in capsys.readouterr().err


def test_a_memory_survives_its_file(path):
    memory = Memory.load(path.read_bytes(), path)
    assert memory.facts.convention == KEYFRAME_EEF and memory.facts.cameras == DEMOS.cameras
    assert np.array_equal(memory.actions[:, 0], DEMOS.actions)
