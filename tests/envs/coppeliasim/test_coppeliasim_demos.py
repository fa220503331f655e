import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from envs.coppeliasim.demos import load_demo, same_scene, stored_demo, stored_episodes
from envs.coppeliasim.keyframes import keyframe_indices
from envs.spec import Episode, InputError, SimulatorError
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
        found, _ = stored_episodes(rlbench, demos, episodes(rlbench, 2, block))
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
    with pytest.raises(InputError, match="with_demos"):
        rlbench.make("turn_tap", "coppeliasim", demos=moved)


def test_datasets_are_told_apart_by_content_not_by_what_is_played(coppelia, layout, dataset, rlbench, tmp_path):
    demos = dataset(layout, [1, 0, 1])

    def digest(count=1):
        suite, _ = rlbench.with_demos("coppeliasim", demos, episodes(rlbench, count))
        return suite.options["demos"]

    first = digest()
    assert len(first) == 12 and int(first, 16) > 0 and digest(3) == first
    (demos / "turn_tap" / "notes.txt").touch()
    assert digest() == first, "only demonstrations count"
    last = stored_demo(rlbench, demos, episodes(rlbench, 3)[2]).folder
    content = (last / "low_dim_obs.pkl").read_bytes()
    (last / "low_dim_obs.pkl").write_bytes(content + b" ")
    assert digest() != first, "one that is not played is another"
    (last / "low_dim_obs.pkl").write_bytes(content)
    assert digest() == first
    (last / "low_dim_obs.pkl").rename(tmp_path / "away")
    assert digest() != first
    (tmp_path / "away").rename(last / "low_dim_obs.pkl")
    (demos / "turn_tap").rename(demos / "open_drawer")
    suite, _ = rlbench.with_demos("coppeliasim", demos, rlbench.episodes("open_drawer", "test", 1))
    assert suite.options["demos"] != first


def test_a_start_that_came_out_otherwise_is_repeated(flavour, layout, dataset, rlbench, monkeypatch):
    demos = dataset(layout, [1])
    suite, found = rlbench.with_demos("coppeliasim", demos, episodes(rlbench, 1))
    env = suite.make("turn_tap", "coppeliasim", demos=demos)
    import pyrep.backend.sim as sim

    demo = load_demo(stored_demo(suite, demos, found[0]))
    monkeypatch.setenv("COPPELIA_DOUBLE_FAULT", "detour:9")
    env.reset(found[0])
    np.testing.assert_allclose(sim.world.target, demo[-1].gripper_pose[:3])
    monkeypatch.setenv("COPPELIA_DOUBLE_FAULT", "detour:10")
    with pytest.raises(SimulatorError, match=r"another scene.* 10 times"):
        env.reset(found[0])
    env.close()


def test_scenes_are_compared_where_both_are_known():
    def scene(*state):
        return SimpleNamespace(task_low_dim_state=np.array(state) if state else None)

    placed = scene(0.1, 0.2, 0.9, 0.0, 0.6, 0.8, 0.001)
    assert same_scene(scene(0.11, 0.19, 0.9, 0.0, -0.6, -0.8, -0.001), placed), "one rotation, with either sign"
    assert not same_scene(scene(0.1, 0.2, 0.95, 0.0, 0.6, 0.8, 0.001), placed)
    assert not same_scene(scene(0.1, 0.2, 0.9, 0.6, 0.0, 0.8, 0.001), placed)
    for unknown in (scene(), scene(0.1), SimpleNamespace()):
        assert same_scene(placed, unknown) and same_scene(unknown, placed)


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
    demos = dataset("peract", [1])
    suite, _ = rlbench.with_demos("coppeliasim", demos, episodes(rlbench, 1))
    env = suite.make("turn_tap", "coppeliasim", demos=demos)
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


def test_a_demonstration_that_contradicts_itself_is_refused(coppelia, dataset, rlbench):
    stored = stored_demo(rlbench, dataset("peract", [1]), episodes(rlbench, 1)[0])
    path = stored.folder / "low_dim_obs.pkl"
    demo = load_demo(stored)
    demo[0].misc = {"variation_index": 0}
    path.write_bytes(pickle.dumps(demo))
    with pytest.raises(InputError, match=r"variation 1 beside low_dim_obs.pkl, 0 in it"):
        load_demo(stored)
    del demo[0].misc
    path.write_bytes(pickle.dumps(demo))
    assert load_demo(stored)[0].misc == {"variation_index": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"cnumpy._older\nthing\n.", "the module numpy._older"), (b"crlbench.demo\nScroll\n.", "Scroll")],
)
def test_a_demonstration_of_other_versions_is_told(coppelia, dataset, rlbench, content, message):
    stored = stored_demo(rlbench, dataset("peract", [1]), episodes(rlbench, 1)[0])
    (stored.folder / "low_dim_obs.pkl").write_bytes(content)
    with pytest.raises(InputError, match=rf"{message}.*the versions of RLBench and NumPy") as told:
        load_demo(stored)
    assert "ownload" not in str(told.value)


def recorded(speeds, opened):
    return [
        SimpleNamespace(joint_velocities=np.full(7, float(speed)), gripper_open=float(state))
        for speed, state in zip(speeds, opened, strict=True)
    ]


def test_keyframes_are_pauses_gripper_changes_and_the_end():
    speeds = [0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1]
    opened = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert keyframe_indices(recorded(speeds, opened)) == [4, 11, 15]


def test_a_pause_lasts_five_observations():
    speeds = [1, 1, 1, *[0] * 12, 1, 1]
    assert keyframe_indices(recorded(speeds, [1] * 17)) == [3, 8, 13, 16]


def test_a_pause_may_begin_with_the_demonstration_but_is_no_keyframe():
    still = [0] * 7 + [1] * 3
    assert keyframe_indices(recorded(still, [1] * 10)) == [5, 9]
    # A gripper that ends otherwise than it began is at work there, by PerAct's count around the end.
    assert keyframe_indices(recorded(still, [1] * 8 + [0] * 2)) == [2, 9]


def test_a_keyframe_just_before_the_end_is_left_out():
    opened = [1, 1, 1, 0, 0, 0, 0, 1, 1]
    assert keyframe_indices(recorded([1] * 9, opened)) == [3, 8]
    assert keyframe_indices(recorded([1] * 9, [1, 1, 1, 0, 0, 0, 1, 1, 1])) == [3, 6, 8]
    assert keyframe_indices(recorded([1, 1], [1, 0])) == [1]
