import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from envs import latency
from envs.latency import main
from envs.latency_config import Config
from envs.latency_progress import LatencyProgress
from envs.spec import InputError
from envs.timing import Subject, Timing
from policies import untrained
from policies.zero import ZeroPolicy
from results.latency import read_latency

pytest.importorskip("torch")
ROOT = Path(__file__).parents[2]
QUICK = ["--suite", "mock", "--warmups", "1", "--calls", "4"]


def small_base(monkeypatch):
    monkeypatch.setattr(untrained, "BASE", replace(untrained.BASE, width=32, blocks=1, heads=4, ffn=32, cross_ffn=32))


def test_a_run_writes_everything_to_repeat_it(tmp_path, capsys):
    out = tmp_path / "a.json"
    arguments = ["--policies", "flow:2", "drifting", "zero", *QUICK, "--out", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    record = read_latency(out)
    assert record.command == f"python -m envs.latency {' '.join(arguments)}"
    assert [policy.name for policy in record.policies] == ["flow-2", "drifting", "zero"]
    flow, drifting, zero = record.policies
    assert (flow.sampler, flow.nfe, drifting.nfe, drifting.weights) == ("Euler-2", 2, 1, "random")
    assert {policy.times.calls for policy in record.policies} == {4} and record.complete
    assert set(flow.times.warm_ms) == {"preprocess", "backbone", "head", "postprocess", "call"}
    assert set(zero.times.warm_ms) == {"call"}
    for k in range(4):
        parts = sum(ms[k] for span, ms in flow.times.warm_ms.items() if span != "call")
        assert 0 < parts <= flow.times.warm_ms["call"][k]
    assert record.backbone == "in every call" and record.backbone_times is None
    conditions = record.conditions
    assert (conditions["dtype"], conditions["compile"], conditions["threads"]) == ("float32", "off", 1)
    assert (conditions["task"], conditions["views"], conditions["image_size"]) == ("mock/reach", 2, 32)
    assert record.packages["torch"] and record.hardware["device"] == "cpu" and record.peak_memory_mb["host"] > 50
    for shown in ("| flow-2 | Euler-2 | random | 2 |", "| drifting |", str(out), record.hardware["cpu"]):
        assert shown in printed
    assert main(arguments) == 2  # never overwritten
    assert "exists already" in capsys.readouterr().err


def test_the_head_of_the_large_network_alone(tmp_path, monkeypatch):
    small_base(monkeypatch)
    out = tmp_path / "a.json"
    words = ["--policies", "drifting", "--size", "base", "--backbone", "none", "--views", "2"]
    assert main([*words, *QUICK, "--out", str(out)]) == 0
    record = read_latency(out)
    (policy,) = record.policies
    assert record.backbone == "not run" and "context" in policy.times.warm_ms and "backbone" not in policy.times.warm_ms
    assert policy.horizon == 16 and policy.parameters == policy.head_parameters
    conditions = record.conditions
    assert (conditions["dtype"], conditions["image_size"], conditions["views"]) == ("bfloat16", 448, 2)
    assert conditions["context_tokens"] == 3 + 2 * (14 * 14 + 2) + 48 + 5


def test_a_simulator_can_give_the_observation(tmp_path, monkeypatch):
    seen = []
    act = ZeroPolicy.act
    monkeypatch.setattr(ZeroPolicy, "act", lambda self, obs: seen.append(obs) or act(self, obs))
    out = tmp_path / "a.json"
    assert main(["--policies", "zero", *QUICK, "--observation", "simulator", "--out", str(out)]) == 0
    assert seen[0]["instruction"].endswith(" dot") and "drawer" in untrained.INSTRUCTION
    assert read_latency(out).conditions["observation"] == "simulator"


@pytest.mark.parametrize(("after", "code_and_calls"), [(3, (130, 2)), (1, (130, None))])
def test_ctrl_c_keeps_what_was_measured(tmp_path, monkeypatch, capsys, after, code_and_calls):
    """One cold call, no warm-up: the interruption comes in timed round `after`, or in the first."""
    calls = []
    act = ZeroPolicy.act

    def interrupted(self, obs):
        calls.append(1)
        if len(calls) == after + 1:
            raise KeyboardInterrupt
        return act(self, obs)

    monkeypatch.setattr(ZeroPolicy, "act", interrupted)
    out = tmp_path / "a.json"
    code, kept = code_and_calls
    assert main(["--policies", "zero", "--suite", "mock", "--warmups", "0", "--out", str(out)]) == code
    printed = capsys.readouterr()
    if kept is None:
        assert not out.exists() and "nothing was written" in printed.err
    else:
        record = read_latency(out)
        assert not record.complete and record.policies[0].times.calls == kept and "interrupted" in printed.out


BAD = {
    "--policies drifing": "Did you mean 'drifting'",
    "--policies drifting:2": "cannot take 2",
    "--policies zero:2": "leave --nfe out",
    "--policies zero --calls 0": "at least 1",
    "--policies zero --threads 0": "at least 1",
    "--policies zero --backbone none": "need --size base",
    "--policies zero --backbone-calls 3": "need --size base",
    "--policies drifting --size base --backbone none --backbone-calls 3": "contradict",
    "--policies drifting --size base --backbone-calls 0": "--backbone-calls must be at least 1",
    "--policies zero --size base --backbone none": "no network of ours",
    "--policies drifting --size base --backbone none --observation simulator": "choose fewer --views",
    "--policies drifting --cuda-graphs": "needs --compile and --device cuda",
    "--policies drifting --device warp": "Try cpu",
    "--policies zero --suite mok": "Did you mean 'mock'",
    "--policies zero --out a.jsonl": ".json",
}


@pytest.mark.parametrize("bad", list(BAD))
def test_bad_input_is_told_and_nothing_is_written(tmp_path, monkeypatch, capsys, bad):
    monkeypatch.chdir(tmp_path)
    small_base(monkeypatch)
    words = bad.split()
    assert main([*words, *([] if "--suite" in words else ["--suite", "mock"])]) == 2
    assert BAD[bad] in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_compilation_is_refused_without_a_compiler(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert main(["--policies", "drifting", *QUICK, "--compile"]) == 2
    assert "no-such-compiler" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_without_torch_the_remedy_is_told(tmp_path):
    """In a process of its own, where nothing has imported torch yet."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from envs.latency import measure; from envs.latency_config import Config; from envs.spec import InputError\n"
        "try: measure(Config(('drifting',), suite='mock'), [])\n"
        "except InputError as error: print(error)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert "pip install -e '.[torch]'" in done.stdout, done.stderr
    assert not list(tmp_path.iterdir())


def test_settings_are_resolved():
    config = Config(("drifting", "diffusion:10", "mine.policies:Mine", "mine.policies:Mine:4"))
    assert config.named() == [
        ("drifting", None),
        ("diffusion", 10),
        ("mine.policies:Mine", None),
        ("mine.policies:Mine", 4),
    ]
    with pytest.raises(InputError, match="times do not depend on the weights"):
        Config(("drifting=weights.safetensors",)).named()
    assert (config.precision, config.compiled, config.backbone_use) == ("float32", "off", "in every call")
    base = replace(config, size="base", backbone_calls=10, compile=True, cuda_graphs=True)
    assert (base.precision, base.compiled, base.backbone_use) == ("bfloat16", "reduce-overhead", "apart")
    assert [replace(base, backbone_calls=n).backbone_warmups for n in (1, 10, 1000)] == [1, 2, 50]


def test_a_backbone_timed_apart_is_in_the_record(tmp_path, monkeypatch):
    """The backbone is stood in for by a function; `tests/policies/test_timed.py` has the real class."""
    small_base(monkeypatch)
    looked = []

    def assembled(config, task, obs):
        lineup = assemble(replace(config, backbone="none", backbone_calls=None), task, obs)
        return replace(
            lineup, look=lambda: looked.append(1) or {"backbone": 2.0}, apart=lineup.entries[0].policy.network
        )

    assemble = latency.assemble
    monkeypatch.setattr(latency, "assemble", assembled)
    out = tmp_path / "a.json"
    words = ["--policies", "drifting", "--size", "base", "--backbone-calls", "5", "--out", str(out)]
    assert main([*words, *QUICK]) == 0
    record = read_latency(out)
    assert record.backbone == "apart" and len(looked) == 1 + 1 + 5 and record.conditions["backbone_warmups"] == 1
    assert record.backbone_times.warm_ms["backbone"] == (2000.0,) * 5


def test_progress_is_shown_by_lines_without_a_terminal(capsys):
    with LatencyProgress() as progress:
        Timing([Subject("a", dict)]).run(1, 2, progress.of("policies"))
    assert capsys.readouterr().out == "policies, cold: round 0 of 1\n"
