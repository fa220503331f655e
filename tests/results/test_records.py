import json
from dataclasses import replace

import pytest

from results.provenance import circumstances
from results.record_writer import RecordWriter
from results.records import (
    EpisodeRecord,
    Header,
    Latency,
    PolicyFacts,
    RecordError,
    episode_key,
    percentiles,
    read_run,
    without_times,
)


def make_header(**changes):
    header = Header(
        run="a",
        suite="mock",
        sim="mock",
        policy=PolicyFacts("zero"),
        config={"workers": 1},
        protocol={"suite": "mock"},
        protocol_hash="0123456789ab",
        full_task_count=2,
        seed_block={"name": "test", "start": 5, "count": 10},
        policy_seed=0,
        planned=("reach/v000/s5", "reach/v001/s6", "reach/v002/s7"),
        **circumstances("cpu"),
    )
    return replace(header, **changes)


def make_episode(variation=0, **changes):
    episode = EpisodeRecord(
        id=f"reach/v{variation:03d}/s{variation + 5}",
        task="reach",
        variation=variation,
        seed=variation + 5,
        policy_seed=9,
        outcome="success",
        success_once=True,
        steps=1,
        latency=Latency.of_calls([0.1, 0.002, 0.004], [{"head": 0.05}, {"head": 0.001}, {"head": 0.003}]),
        sim_seconds={"physics": 0.25},
        actions=((0.1, 0.2), (0.3, 0.4)),
    )
    return replace(episode, **changes)


@pytest.fixture
def path(tmp_path):
    """A record of two of its three planned episodes."""
    path = tmp_path / "runs" / "a.jsonl"
    with RecordWriter(path, make_header()) as writer:
        writer.append(make_episode(1))
        writer.append(make_episode(0))
    return path


def test_what_is_written_is_read(path):
    run = read_run(path)
    assert run.header == make_header(created=run.header.created)
    assert run.episodes == (make_episode(0), make_episode(1))  # in planned order
    assert run.missing == ("reach/v002/s7",)
    assert run.resumed == ()


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_torn_last_line_is_dropped_and_cut_away_on_resume(path, cut):
    content = path.read_bytes()
    path.write_bytes(content[:-1] if cut == 1 else content[:-cut])
    whole = cut == 1  # only the line end is missing: nothing is lost
    assert len(read_run(path).episodes) == (2 if whole else 1)
    with RecordWriter(path) as writer:
        writer.append(make_episode(2))
    run = read_run(path)
    assert [episode.variation for episode in run.episodes] == ([0, 1, 2] if whole else [1, 2])
    for line in path.read_text().splitlines():
        json.loads(line)


def test_of_two_lines_with_one_id_the_later_counts(path):
    with RecordWriter(path) as writer:
        writer.append(make_episode(0, outcome="failure"))
    assert read_run(path).episodes == (make_episode(0, outcome="failure"), make_episode(1))


def test_resumptions_are_noted(path):
    with RecordWriter(path) as writer:
        writer.note_resumed(circumstances("cpu"))
    (note,) = read_run(path).resumed
    assert set(note) == {"created", "git_sha", "packages", "python", "hardware"}


def test_damage_before_the_last_line_is_an_error(path):
    lines = path.read_text().splitlines()
    lines[1] = lines[1][:30]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RecordError, match="line 2"):
        read_run(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"kind":"header","schema":99}\n', "schema 99"),
        ('{"kind":"header","schema":1}\n', "schema 1"),
        ('{"kind":"episode"}\n', "header"),
        ("", "header"),
        ("not a record\n", "header"),
    ],
)
def test_foreign_files_are_refused(tmp_path, content, message):
    path = tmp_path / "b.jsonl"
    path.write_text(content)
    with pytest.raises(RecordError, match=message):
        read_run(path)


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(RecordError, match="no record"):
        read_run(tmp_path / "none.jsonl")
    with pytest.raises(RecordError, match="no record"):
        RecordWriter(tmp_path / "none.jsonl")


def test_a_new_run_never_overwrites(path):
    before = path.read_bytes()
    with pytest.raises(RecordError, match="exists"):
        RecordWriter(path, make_header())
    assert path.read_bytes() == before


def test_two_processes_never_write_one_file(path):
    with RecordWriter(path), pytest.raises(RecordError, match="another process"):
        RecordWriter(path)
    RecordWriter(path).close()


def test_an_episode_needs_a_known_outcome():
    with pytest.raises(ValueError, match="outcome"):
        make_episode(outcome="maybe")


def test_latency_keeps_the_cold_call_apart():
    latency = make_episode().latency
    assert latency.cold_ms == 100 and latency.ms == (2, 4) and latency.calls == 2
    assert latency.total["p50"] == 3 and latency.spans["head"]["p50"] == 2
    assert Latency.of_calls([], []) == Latency()
    assert Latency.of_calls([0.5], [{}]) == Latency(cold_ms=500)


def test_percentiles_interpolate_like_numpy():
    numpy = pytest.importorskip("numpy")
    values = [3.0, 1.0, 10.0, 2.5, 7.25]
    expected = numpy.percentile(values, [50, 95, 99]).round(3)
    assert list(percentiles(values).values()) == pytest.approx(list(expected))


def test_equality_but_for_times():
    one = make_episode()
    slower = replace(one, wall_s=9.0, latency=Latency(), sim_seconds={}, video="b_videos/x.mp4")
    assert without_times(one) == without_times(slower)
    assert without_times(one) != without_times(replace(one, steps=2))
    assert episode_key(one) == ("reach", 0, 5)
