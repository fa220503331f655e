"""Disturbed demonstrations: the hand strays, the action does not."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from envs.spec import InputError
from envs.suite import load_suite
from train.demo_episodes import ATTEMPTS, PlaySettings, _close, _roll_out
from train.demos import DemoConfig, collect
from train.disturbance import LARGEST, STRAY_TICKS, Excursions, disturb

POSE = np.array([0.3, -0.1, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0])


def test_disturbances_have_the_size_asked_for():
    rng = np.random.default_rng(0)
    moved = np.array([disturb(POSE, 1.0, rng) for _ in range(2000)])
    assert np.allclose(moved[:, :3].std(0), 0.01, rtol=0.1) and np.allclose(moved[:, :3].mean(0), POSE[:3], atol=1e-3)
    turns = np.degrees((Rotation.from_quat(moved[:, 3:7]) * Rotation.from_quat(POSE[3:7]).inv()).magnitude())
    assert 11 < np.median(turns) < 17 and turns.max() < 55
    assert np.allclose(np.linalg.norm(moved[:, 3:7], axis=1), 1) and (moved[:, 7] == 1).all()
    assert np.allclose(disturb(POSE, 0.0, rng), POSE)


def test_excursions_begin_where_they_may_and_stay_at_one_place():
    rng = np.random.default_rng(0)
    runs, open_at = [], []
    for _ in range(300):
        excursions = Excursions(10.0, rng)
        way = [excursions(POSE, may_begin=tick < 20) for tick in range(60)]
        away = [pose is not None for pose in way]
        assert not any(away[20 + STRAY_TICKS[1] :])
        runs.append(way)
        for pose in way:
            if pose is not None:
                assert np.abs(pose[:3] - POSE[:3]).max() <= 0.1 * LARGEST + 1e-9
                open_at.append(pose[7])
    first = [way[0] is not None for way in runs]
    assert 0.4 < np.mean(first) < 0.6 and 0.4 < np.mean(open_at) < 0.6
    for way in runs:
        if way[0] is not None:
            length = next(k for k, pose in enumerate(way) if pose is None or not np.array_equal(pose, way[0]))
            assert length >= STRAY_TICKS[0]
    assert all(pose is None for way in [[Excursions(0.0, rng)(POSE, True)] for _ in range(50)] for pose in way)


@pytest.mark.sim
def test_the_expert_comes_back_from_an_excursion_and_its_answers_are_what_is_written():
    settings = PlaySettings("dynamic", None, "train", 0, 0.0, 10.0)
    episode = load_suite("dynamic").episodes("target_follow", "train", 2)[1]
    frames, failure = _roll_out(settings, episode, {}, len(ATTEMPTS))
    again, _ = _roll_out(settings, episode, {}, len(ATTEMPTS))
    _close()
    assert failure is None
    numbers = np.array([frame.keyframe_index for frame in frames])
    gaps = np.flatnonzero(np.diff(numbers) > 1)
    assert len(gaps) and (np.diff(numbers) >= 1).all()
    hand, goal = (np.array([part(f) for f in frames]) for part in (lambda f: f.proprioception[3:6], lambda f: f.action))
    off = np.linalg.norm(hand - goal[:, :3], axis=1)
    assert off[gaps + 1].max() > 0.05 and off[-1] < 0.02
    assert np.array_equal(goal, np.array([frame.action for frame in again]))


@pytest.mark.sim
def test_excursions_are_for_dense_control(tmp_path):
    with pytest.raises(InputError, match="--stray is for dense control"):
        collect(DemoConfig("rlbench18", 1, ("close_jar",), stray=1.0, out=tmp_path / "d", workers=1))


@pytest.mark.sim
def test_disturbed_keyframes_keep_their_action_and_the_next_frame_shows_where_the_hand_went():
    settings = PlaySettings("rlbench18", None, "train", 0, 1.0)
    episode = load_suite("rlbench18").episodes("close_jar", "train", 1)[0]
    (clean, _), (strayed, failure) = (_roll_out(settings, episode, {}, attempt) for attempt in (0, len(ATTEMPTS)))
    again, _ = _roll_out(settings, episode, {}, len(ATTEMPTS))
    _close()
    assert failure is None and len(clean) == len(strayed)
    off = []
    for k, (a, b, c) in enumerate(zip(clean, strayed, again, strict=True)):
        assert np.array_equal(a.action, b.action)
        assert np.array_equal(b.proprioception, c.proprioception)
        if k:
            off.append(np.linalg.norm(b.proprioception[3:6] - clean[k - 1].action[:3]))
    # Hovering over the lid and over the jar; not gripping, lifting or letting go.
    assert off[0] > 0.004 and off[3] > 0.004 and max(off[1], off[2]) < 0.004


def test_a_suite_whose_experts_do_not_tell_is_refused(tmp_path):
    with pytest.raises(InputError, match="drop --disturb"):
        collect(DemoConfig("mock", per_task=1, disturb=1.0, out=tmp_path / "d", workers=1))
    with pytest.raises(InputError, match="--disturb must not be negative"):
        collect(DemoConfig("mock", disturb=-1.0, out=tmp_path / "d"))
