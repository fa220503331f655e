from itertools import pairwise

import pytest

from envs.play import episode_policy_seed
from envs.spec import Episode, InputError
from envs.suite import SeedBlock, load_suite, protocol_hash, suite_names


@pytest.mark.parametrize("name", suite_names())
def test_shipped_suites_are_sound(name):
    suite = load_suite(name)
    assert suite.name == name and len(suite.tasks) <= suite.full_task_count
    ranges = sorted((block.start, block.stop) for block in suite.seeds.values())
    assert all(stop <= start for (_, stop), (start, _) in pairwise(ranges))
    for task, variations in suite.tasks.items():
        drawn = {episode.variation for episode in suite.episodes(task, "train", 3000)}
        assert drawn == set(range(variations))


def test_episode_lists_are_fixed():
    suite = load_suite("mock")
    # Published: a change here changes every number of the suite.
    assert [episode.id for episode in suite.episodes("reach", count=3)] == [
        "reach/v001/s2000000",
        "reach/v001/s2000001",
        "reach/v000/s2000002",
    ]
    assert suite.episodes("reach", count=20)[:5] == suite.episodes("reach", count=5)
    assert len(suite.episodes("pick")) == suite.episodes_per_task


def test_rlbench_evaluation_sets_are_frozen():
    suite = load_suite("rlbench18")
    assert sum(suite.tasks.values()) == 249 and len(suite.tasks) == 18
    for block in ("validation", "test"):
        for task in suite.tasks:
            written = [Episode("rlbench18", task, *pair) for pair in suite.frozen_episodes[block][task]]
            assert len(written) == suite.episodes_per_task == 25
            assert suite.episodes(task, block, 25) == written


def test_a_longer_list_goes_on_where_the_frozen_one_ends(mock_suite):
    frozen = {"test": {"reach": [[2, 2_000_000], [2, 2_000_001]], "pick": []}}
    suite, drawn = mock_suite(frozen_episodes=frozen), mock_suite()
    assert [episode.variation for episode in suite.episodes("reach", count=2)] == [2, 2]
    assert suite.episodes("reach", count=1) == suite.episodes("reach", count=2)[:1]
    assert suite.episodes("reach", count=9)[2:] == drawn.episodes("reach", count=9)[2:]
    assert suite.episodes("pick") == drawn.episodes("pick")


def test_repeats_go_through_all_initial_states_again(mock_suite):
    seeds = mock_suite().seeds
    suite = mock_suite(seeds=seeds | {"test": SeedBlock(2_000_000, 4, repeats=3)})
    episodes = suite.episodes("reach", count=12)
    assert [(e.seed - 2_000_000, e.repeat) for e in episodes] == [(k % 4, k // 4) for k in range(12)]
    assert len({e.id for e in episodes}) == 12 and episodes[4].id == episodes[0].id + "/r1"
    assert [e.variation for e in episodes[4:8]] == [e.variation for e in episodes[:4]]
    assert episodes[:4] == mock_suite().episodes("reach", count=4)
    assert suite.episodes("reach", count=5) == episodes[:5]
    assert len({episode_policy_seed(e, 0) for e in episodes}) == 12
    with pytest.raises(InputError, match="between 1 and 12"):
        suite.episodes("reach", count=13)


def test_repeats_are_part_of_the_protocol_and_one_is_not_named(mock_suite):
    suite = mock_suite()
    assert suite.protocol([suite.spec("reach")])["seeds"]["test"] == {"start": 2000000, "count": 1000000}
    repeated = mock_suite(seeds=suite.seeds | {"test": SeedBlock(2_000_000, 4, repeats=3)})
    assert repeated.protocol([suite.spec("reach")])["seeds"]["test"]["repeats"] == 3


def test_protocol_hash_covers_what_could_change_a_number(mock_suite):
    def hashed(*tasks, **changes):
        suite = mock_suite(**changes)
        return protocol_hash(suite.protocol([suite.spec(task) for task in tasks]))

    base = hashed("reach", "pick")
    assert hashed("reach") == base and len(base) == 12  # a part of the tasks is under the same protocol
    changes = [
        {"max_steps": 11},
        {"image_size": 64},
        {"cameras": ("front",)},
        {"execution_horizon": 2},
        {"success_rule": "success_at_end"},
        {"options": {"step_s": 0.1}},
    ]
    assert len({base, *(hashed("reach", **change) for change in changes)}) == 1 + len(changes)
    assert hashed("reach", title="another", episode_timeout_s=1) == base


def test_a_spec_comes_from_an_environment_where_the_adapter_offers_none(mock_suite, monkeypatch):
    suite = mock_suite()
    offered = suite.spec("reach")
    env = suite.make("reach")
    assert offered == env.spec
    monkeypatch.setattr("envs.mock.make", lambda *arguments: env)
    monkeypatch.delattr("envs.mock.task_spec")
    assert suite.spec("reach") == offered


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_stepz": 1}, "Did you mean 'max_steps'"),
        ({"success_rule": "often"}, "success_rule"),
        ({"seeds": {"train": {"start": 0, "count": 5}, "test": {"start": 9, "count": 5}}}, "validation"),
        (
            {"seeds": {name: {"start": k, "count": 2} for k, name in enumerate(("train", "validation", "test"))}},
            "overlap",
        ),
        ({"frozen_episodes": {"exam": {"reach": [], "pick": []}}}, "must be a seed block"),
        ({"frozen_episodes": {"test": {"reach": []}}}, "list every task"),
        ({"frozen_episodes": {"test": {"reach": [[0, 7]], "pick": []}}}, "seed 7, not 2000000"),
        ({"frozen_episodes": {"test": {"reach": [[3, 2_000_000]], "pick": []}}}, "no variation 3"),
    ],
)
def test_wrong_files_are_refused(mock_yaml, changes, message):
    with pytest.raises(InputError, match=message):
        load_suite(mock_yaml(**changes))


def test_wrong_names_are_refused():
    suite = load_suite("mock")
    for call, message in [
        (lambda: load_suite("mok"), "Did you mean 'mock'"),
        (lambda: suite.make("reech"), "Did you mean 'reach'"),
        (lambda: suite.make("reach", "mujoco"), "does not run on 'mujoco'"),
        (lambda: suite.spec("reach", "mujoco"), "does not run on 'mujoco'"),
        (lambda: suite.episodes("reach", "exam"), "unknown seed block"),
        (lambda: suite.episodes("reach", count=0), "--episodes"),
    ]:
        with pytest.raises(InputError, match=message):
            call()


BLOCKS = {"train": {"start": 0, "count": 9}, "validation": {"start": 10, "count": 9}, "test": {"start": 20, "count": 9}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": BLOCKS | {"test": {"start": 20, "cout": 9}}}, "not of the kind that mock.yaml shows .*'cout'"),
        ({"seeds": None}, "not of the kind"),
        ({"tasks": ["reach"]}, "not of the kind"),
        ({"tasks": {"reach": 0}}, "'reach' needs at least one variation, not 0"),
        ({"execution_horizon": 0}, "execution_horizon must be a whole number, at least 1, not 0"),
        ({"max_steps": 2.5}, "max_steps must be"),
        ({"seeds": {"train": BLOCKS["train"]}}, "seed block 'validation' is missing"),
        ({"extra": 1}, "unknown entry 'extra'"),
    ],
)
def test_a_file_with_mistakes_is_refused_by_entry(mock_yaml, changes, message):
    with pytest.raises(InputError, match=message):
        load_suite(mock_yaml(**changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "holds no entries"), ("a: [", "is not YAML"), ("name: x", "entries are missing: adapter, cameras")],
)
def test_what_is_no_suite_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_suite(str(path))
