"""Success against latency: who is dominated, and what the drawing looks like."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from results.pareto import Point, non_dominated, pareto_svg, points_of
from results.records import RECORDS_DIR, read_run
from results.stats import Rate

SVG = "{http://www.w3.org/2000/svg}"


def point(label, wins, ms, index=0, hardware="one CPU", reference=False):
    return Point(label, index, Rate(wins, 100), ms, 50, hardware, reference)


def labels(points):
    return [found.label for found in points]


def drawn(points, width=720):
    return ET.fromstring(pareto_svg(points, width))


def texts(tree):
    return ["".join(node.itertext()) for node in tree.iter(f"{SVG}text")]


def test_who_is_dominated():
    slow, fast, worse = point("slow", 80, 90.0), point("fast", 60, 10.0), point("worse", 60, 20.0)
    assert labels(non_dominated([slow, worse, fast])) == ["fast", "slow"]
    assert labels(non_dominated([fast, point("twin", 60, 10.0)])) == ["fast", "twin"]
    assert labels(non_dominated([fast, point("same time, better", 70, 10.0)])) == ["same time, better"]
    assert labels(non_dominated([point("untimed", 90, None), fast])) == ["fast"]


def test_dominated_policies_are_hollow_and_off_the_line():
    tree = drawn([point("a", 60, 10.0), point("b", 50, 20.0, 1), point("c", 80, 90.0, 2)])
    hollow = [node for node in tree.iter() if "hollow" in node.get("class", "")]
    assert len(hollow) == 1 and "c1" in hollow[0].get("class")
    (front,) = [node for node in tree.iter(f"{SVG}path") if node.get("class") == "front"]
    assert front.get("d").count("L") == 1


def test_positions_follow_success_and_the_logarithm_of_the_time():
    tree = drawn([point("a", 25, 1.0), point("b", 50, 10.0), point("c", 75, 100.0)])
    spots = [(float(node.get("cx")), float(node.get("cy"))) for node in tree.iter(f"{SVG}circle")]
    (ax, ay), (bx, by), (cx, cy) = spots
    assert abs((bx - ax) - (cx - bx)) < 0.02 and bx > ax
    assert abs((ay - by) - (by - cy)) < 0.02 and ay > by


def test_every_number_is_written_with_its_interval_and_n():
    (title,) = [node.text for node in drawn([point("a", 50, 12.34)]).iter(f"{SVG}title")]
    assert title == "a: 50.0 % [40.4, 59.6], 50 of 100 episodes; p50 12.3 ms over 50 calls; not dominated"


def test_hardware_is_never_mixed():
    points = [point("a", 60, 10.0), point("b", 50, 20.0, 1, hardware="a GPU")]
    tree = drawn(points)
    assert not [node for node in tree.iter() if "hollow" in node.get("class", "")]
    assert {"timed on one CPU", "timed on a GPU"} <= set(texts(tree))


def test_references_are_lines_and_dominate_nobody():
    expert = point("expert", 100, 0.01, 1, reference=True)
    tree = drawn([point("a", 60, 10.0), expert, point("zero", 0, 0.01, 2, reference=True)])
    assert not [node for node in tree.iter() if "hollow" in node.get("class", "")]
    assert "expert 100.0 %" in texts(tree) and "zero 0.0 %" in texts(tree)
    assert pareto_svg([expert]) == ""


def test_the_file_is_byte_stable_and_stands_alone():
    points = [point("a & b", 60, 10.0), point("c", 70, 30.0, 1)]
    markup = pareto_svg(points)
    assert markup == pareto_svg(list(points)) and markup.endswith("</svg>\n")
    assert "a &amp; b" in markup and "prefers-color-scheme:dark" in markup
    assert "<style>" not in pareto_svg(points, standalone=False)


def test_points_of_the_committed_records():
    runs = [read_run(RECORDS_DIR / "rlbench18" / name / "test.jsonl") for name in ("zero", "expert", "drifting")]
    found = points_of([(run, Rate(k, 450)) for k, run in enumerate(runs)])
    assert [(point.label, point.index, point.reference, point.rate.successes) for point in found] == [
        ("drifting", 0, False, 2),
        ("zero", 1, True, 0),
        ("expert", 2, True, 1),
    ]
    calls = [ms for episode in runs[2].episodes for ms in episode.latency.ms]
    assert found[0].calls == len(calls) and found[0].p50_ms == pytest.approx(np.median(calls), abs=0.01)


def test_of_a_run_with_a_latency_the_played_times_count():
    run = read_run(RECORDS_DIR / "rlbench18/drifting/test.jsonl")
    machine = {"cpu": "elsewhere", "cores": 4, "device": "cpu"}
    header = replace(run.header, protocol=run.header.protocol | {"latency": {"source": "timing", "hardware": machine}})
    episodes = tuple(replace(episode, delays_s=(0.25, 0.35, 0.3)) for episode in run.episodes)
    (drawn,) = points_of([(replace(run, header=header, episodes=episodes), Rate(1, 2))])
    assert (drawn.p50_ms, drawn.calls, drawn.hardware) == (300.0, 3 * len(episodes), "elsewhere, 4 cores")


def test_labels_stay_inside_and_apart():
    points = [point(f"policy {k}", 55 + k, 20.0 + 4 * k, k) for k in range(4)]
    for width in (320, 720):
        tree = drawn(points, width)
        boxes = []
        for node in tree.iter(f"{SVG}text"):
            wide = 0.5 * 12 * len("".join(node.itertext()))
            left = float(node.get("x")) - {"middle": wide / 2, "end": wide}.get(node.get("text-anchor"), 0)
            assert left >= -1 and left + wide <= width + 1, node.text
            if node.text.startswith("policy"):
                boxes.append((left, left + wide, float(node.get("y"))))
        assert len(boxes) == 4
        for k, (left, right, y) in enumerate(boxes):
            for other_left, other_right, other_y in boxes[k + 1 :]:
                assert right < other_left or other_right < left or abs(y - other_y) >= 12
