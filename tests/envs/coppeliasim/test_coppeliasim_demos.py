import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from envs.coppeliasim.demos import load_demo, stored_demo, stored_episodes
from envs.coppeliasim.keyframes import keyframe_indices
from envs.spec import Episode, InputError
from envs.suite import protocol_hash

BLOCK = 2_000_000  # start of the test seeds


def episodes(rlbench, count, block="test"):
    return rlbench.episodes("turn_tap", block, count)


@pytest.fixture(params=["peract", "rlbench"])
def layout(request):
    return request.param


def test_an_episode_starts_as_its_demonstration(flavour, layout, dataset, rlbench):
    demos = dataset(layout, [1, 0, 0])
    suite, found = rlbench.with_demos("coppeliasim", demos, episodes(rlbench, 3))
    # RLBench's layout: episode0 of variation 0, episode0 of variation 1, episode1 of variation 0.
    assert [episode.variation for episode in found] == ([1, 0, 0] if layout == "peract" else [0, 1, 0])
    assert [episode.seed for episode in found] == [BLOCK, BLOCK + 1, BLOCK + 2]
    env = suite.make("turn_tap", "coppeliasim", demos=demos)
    import pyrep.backend.sim as sim

    for episode in [*found, found[0]]:
        start = env.reset(episode)
        demo = load_demo(stored_demo(suite, demos, episode))
        # The demonstration ends where the target is: the generator was restored, and the scene with it.
        np.testing.assert_allclose(sim.world.target, demo[-1].gripper_pose[:3])
        assert start["instruction"] == f"turn_tap, variation {episode.variation}"
    env.close()
    env = rlbench.make("turn_tap", "coppeliasim")
    assert not np.array_equal(env.reset(found[0])["images"]["front"], start["images"]["front"]), "drawn by the seed"
    env.close()


def test_every_block_counts_from_its_own_start(coppelia, dataset, rlbench):
    demos = dataset("peract", [1, 0])
    for block in ("train", "validation", "test"):
        found = stored_episodes(rlbench, demos, episodes(rlbench, 2, block))
        assert [episode.variation for episode in found] == [1, 0]


def test_demonstrations_are_another_protocol_but_their_folder_is_not(coppelia, dataset, rlbench, tmp_path):
    demos = dataset("peract", [1])
    spec = rlbench.spec("turn_tap", "coppeliasim")
    stored, _ = rlbench.with_demos("coppeliasim", demos, episodes(rlbench, 1))
    moved = demos.rename(tmp_path / "elsewhere")
    again, _ = rlbench.with_demos("coppeliasim", moved, episodes(rlbench, 1))
    hashes = [protocol_hash(suite.protocol([spec])) for suite in (rlbench, stored, again)]
    assert hashes[0] != hashes[1] == hashes[2]
    with pytest.raises(InputError, match="add --demos"):
        stored.make("turn_tap", "coppeliasim")


def test_the_demonstration_is_the_expert(flavour, layout, dataset, rlbench, happened):
    demos = dataset(layout, [1])
    suite, found = rlbench.with_demos("coppeliasim", demos, episodes(rlbench, 1))
    env = suite.make("turn_tap", "coppeliasim", demos=demos)
    env.reset(found[0])
    for _ in range(6):
        result = env.step(env.expert_action())
        if result.done:
            break
    assert result.info.success
    env.close()


def test_a_variation_that_is_not_the_demonstrations_is_refused(coppelia, dataset, rlbench):
    env = rlbench.make("turn_tap", "coppeliasim", demos=dataset("peract", [1]))
    with pytest.raises(InputError, match="which has variation 1"):
        env.reset(Episode("rlbench18", "turn_tap", 0, BLOCK))


def test_what_a_folder_may_lack(coppelia, layout, dataset, rlbench, tmp_path):
    one = episodes(rlbench, 1)
    with pytest.raises(InputError, match="is not a folder"):
        stored_episodes(rlbench, tmp_path / "nowhere", one)
    demos = dataset(layout, [1, 0])
    with pytest.raises(InputError, match="--episodes"):
        stored_episodes(rlbench, demos, episodes(rlbench, 3))
    with pytest.raises(InputError, match=r"no demonstration of open_drawer.*all_variations"):
        stored_episodes(rlbench, demos, rlbench.episodes("open_drawer", "test", 1))
    stored = stored_demo(rlbench, demos, one[0])
    (stored.folder / "low_dim_obs.pkl").write_bytes(b"no pickle")
    with pytest.raises(InputError, match="cannot be read"):
        load_demo(stored)
    (stored.folder / "low_dim_obs.pkl").unlink()
    remaining = r"low_dim_obs.pkl, which is not there" if layout == "peract" else "--episodes"
    with pytest.raises(InputError, match=remaining):
        stored_episodes(rlbench, demos, episodes(rlbench, 2))


def test_a_foreign_variation_is_refused(coppelia, dataset, rlbench):
    demos = dataset("peract", [1])
    path = demos / "turn_tap/all_variations/episodes/episode0/variation_number.pkl"
    path.write_bytes(pickle.dumps(9))
    with pytest.raises(InputError, match=r"variation 9.*0\.\.1"):
        stored_episodes(rlbench, demos, episodes(rlbench, 1))


def test_a_demonstration_without_its_random_state_is_refused(coppelia, dataset, rlbench):
    stored = stored_demo(rlbench, dataset("peract", [1]), episodes(rlbench, 1)[0])
    demo = load_demo(stored)
    assert demo[0].misc["variation_index"] == 1
    demo.random_seed = None
    (stored.folder / "low_dim_obs.pkl").write_bytes(pickle.dumps(demo))
    with pytest.raises(InputError, match="random_seed"):
        load_demo(stored)


def test_keyframes_are_pauses_gripper_changes_and_the_end():
    speeds = [0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1]
    opened = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    demo = [
        SimpleNamespace(joint_velocities=np.full(7, float(speed)), gripper_open=float(state))
        for speed, state in zip(speeds, opened, strict=True)
    ]
    assert keyframe_indices(demo) == [4, 11, 15]
