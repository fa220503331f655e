"""What a policy may hand over without a run ending over it."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from envs.play import play_episode
from envs.spec import StepInfo
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec
from policies.registry import make_policy


class Scripted(Policy):
    """The expert, until `change` has its way with a chunk."""

    spec = PolicySpec(None, 1)
    info = PolicyInfo("scripted")

    def __init__(self, change):
        self.change, self.expert, self.calls = change, make_policy("expert"), 0

    def attach(self, env):
        self.expert.attach(env)

    def reset(self, task, seed):
        self.expert.reset(task, seed)

    def act(self, obs):
        self.calls += 1
        return self.change(self.expert.act(obs), self.calls)


def played(suite, change):
    env = suite.make("reach")
    record = play_episode(env, Scripted(change), suite.episodes("reach")[0], 1)
    json.dumps(asdict(record), allow_nan=False)  # as the record is written
    return record


def test_a_number_too_large_for_float32_is_an_invalid_action(mock_suite):
    record = played(mock_suite(), lambda chunk, call: ActionChunk(chunk.actions.astype(np.float64) + [1e39] * 128))
    assert record.outcome == "failure" and "infinite" in record.failure


@pytest.mark.parametrize(
    ("spans", "error"),
    [
        ({"head": np.float32(0.25)}, None),
        ({"head": float("nan")}, "not finite"),
        ({"head": "fast"}, "not names with seconds"),
        (None, "not names with seconds"),
    ],
)
def test_spans_are_plain_numbers_or_an_error_of_the_policy(mock_suite, spans, error):
    record = played(mock_suite(), lambda chunk, call: replace(chunk, spans=spans))
    if error is None:
        assert record.outcome == "success"
    else:
        assert record.outcome == "error" and error in record.error


def test_what_numpy_says_of_a_step_is_written_plainly(mock_suite, monkeypatch):
    suite = mock_suite()
    kind = type(suite.make("reach"))
    step = kind.step

    def numpys(env, action):
        result = step(env, action)
        info = StepInfo(np.bool_(result.info.success), None, np.bool_(False), {"physics": np.float32(0.5)})
        return result._replace(info=info)

    monkeypatch.setattr(kind, "step", numpys)
    assert played(suite, lambda chunk, call: chunk).outcome == "success"


def test_an_invalid_action_does_not_keep_a_success_of_before(mock_suite):
    def ends(chunk, call):
        return chunk if call == 1 else ActionChunk(np.full((1, 128), np.nan, np.float32))

    at_end = played(mock_suite(success_rule="success_at_end"), ends)
    assert at_end.success_once and not at_end.success_at_end
    assert at_end.outcome == "failure" and "NaN" in at_end.failure
