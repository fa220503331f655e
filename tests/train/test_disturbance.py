"""Disturbed demonstrations: the hand strays, the action does not."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from envs.spec import InputError
from envs.suite import load_suite
from train.demo_episodes import ATTEMPTS, PlaySettings, _close, _roll_out
from train.demos import DemoConfig, collect
from train.disturbance import disturb

POSE = np.array([0.3, -0.1, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0])


def test_disturbances_have_the_size_asked_for():
    rng = np.random.default_rng(0)
    moved = np.array([disturb(POSE, 1.0, rng) for _ in range(2000)])
    assert np.allclose(moved[:, :3].std(0), 0.01, rtol=0.1) and np.allclose(moved[:, :3].mean(0), POSE[:3], atol=1e-3)
    turns = np.degrees((Rotation.from_quat(moved[:, 3:7]) * Rotation.from_quat(POSE[3:7]).inv()).magnitude())
    assert 11 < np.median(turns) < 17 and turns.max() < 55
    assert np.allclose(np.linalg.norm(moved[:, 3:7], axis=1), 1) and (moved[:, 7] == 1).all()
    assert np.allclose(disturb(POSE, 0.0, rng), POSE)


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
