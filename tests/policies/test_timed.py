from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_qwen import CONTROL, tiny_sizes

from envs.spec import InputError
from envs.suite import load_suite
from model.checkpoint import save_checkpoint
from model.network import fresh_network, parameter_count
from model.objectives import load_objective
from model.qwen.config import QwenConfig
from model.qwen.tokens import QWEN_PROMPT
from policies import shipped, timed_base, untrained
from policies.timed import KeptFeatures, context_tokens, described, small_lineup
from policies.timed_base import Backbone, base_lineup
from policies.untrained import small_facts, synthetic_observation, synthetic_task

MOCK = load_suite("mock").spec("reach")
VIEWS = synthetic_task(2, 48)


@pytest.fixture(autouse=True)
def no_shipped_checkpoints(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "CHECKPOINTS", tmp_path)
    return tmp_path


def test_small_policies_without_a_checkpoint_have_random_weights():
    lineup = small_lineup(
        [("drifting", None), ("diffusion", 10), ("mse", None), ("mse", None), ("zero", None)], MOCK, "cpu"
    )
    names = [entry.name for entry in lineup.entries]
    assert names == ["drifting", "diffusion-10", "mse", "mse (2)", "zero"]
    obs = synthetic_observation(MOCK)
    facts = [described(lineup, entry, obs, "cpu") for entry in lineup.entries]
    assert [f["weights"] for f in facts] == ["random"] * 4 + ["none"]
    assert [f["nfe"] for f in facts] == [1, 10, 1, 1, 0]
    assert [f.get("sampler") for f in facts] == ["one pass", "DDIM-10", "one pass", "one pass", None]
    drifting = lineup.entries[0].policy.network
    assert facts[0]["parameters"] == parameter_count(drifting)
    assert facts[0]["head_parameters"] == parameter_count(drifting.trunk) < facts[0]["parameters"]
    assert facts[0]["memory_mb"]["head"] == pytest.approx(4e-6 * parameter_count(drifting.trunk), abs=0.1)
    # Time embedding and a wider input are all that diffusion adds.
    assert facts[0]["head_parameters"] < facts[1]["head_parameters"] < 1.1 * facts[0]["head_parameters"]
    spans = [entry.call(obs) for entry in lineup.entries]
    assert all(set(s) == {"preprocess", "backbone", "head", "postprocess"} for s in spans[:4]) and spans[4] == {}
    assert context_tokens(lineup, obs) == drifting.encoder(lineup.entries[0].policy.batch(obs)).tokens.shape[1]


def test_the_shipped_checkpoint_is_used_and_gives_the_others_its_sizes(no_shipped_checkpoints):
    facts = small_facts(load_objective("drifting"), MOCK)
    trunk = replace(facts.network.trunk, width=32, heads=4, blocks=2, ffn=24, horizon=3)
    facts = replace(facts, network=replace(facts.network, trunk=trunk), training={"suite": "mock"})
    path = no_shipped_checkpoints / "mock_drifting.safetensors"
    sha = save_checkpoint(path, facts, fresh_network(facts.network, 0).state_dict())
    lineup = small_lineup([("drifting", None), ("diffusion", 5)], MOCK, "cpu", torch.bfloat16)
    drifting, diffusion = lineup.entries
    assert (drifting.weights, drifting.policy.info.checkpoint_sha256) == ("checkpoint", sha)
    assert (diffusion.weights, diffusion.policy.info.checkpoint_sha256) == ("random", None)
    assert replace(diffusion.policy.network.trunk.config, input_dim=64, time_embedding=False) == trunk
    assert diffusion.policy.network.config.encoder == facts.network.encoder
    obs = synthetic_observation(MOCK)
    assert all("head" in entry.call(obs) for entry in lineup.entries)
    assert drifting.policy.network.trunk.input[0].weight.dtype == torch.bfloat16
    # Trained for another suite: not for this one.
    save_checkpoint(path, replace(facts, training={"suite": "rlbench18"}), fresh_network(facts.network, 0).state_dict())
    assert small_lineup([("drifting", None)], MOCK, "cpu").entries[0].weights == "random"


@pytest.fixture
def tiny(monkeypatch):
    base = replace(untrained.BASE, width=32, blocks=1, heads=4, ffn=32, cross_ffn=32)
    monkeypatch.setattr(untrained, "BASE", base)
    control = dict(zip(CONTROL, range(len(CONTROL)), strict=True))
    # The prompt's token numbers of the real model, in a vocabulary that is not as large.
    sizes = tiny_sizes(control | {"<|image_pad|>": QWEN_PROMPT.view})
    sizes["text_config"] |= {"vocab_size": 151936, "num_hidden_layers": 1}

    def backbone(use):
        return Backbone(QwenConfig(image_size=64, dtype="float32"), use, sizes)

    return backbone


NAMES = [("drifting", None), ("flow", 2)]


def test_base_policies_share_the_backbone(tiny):
    obs = synthetic_observation(VIEWS)
    lineup = base_lineup(NAMES, VIEWS, obs, "cpu", tiny("in every call"))
    first, second = (entry.policy.network for entry in lineup.entries)
    assert first.encoder is second.encoder and first.trunk is not second.trunk and lineup.look is None
    assert [entry.name for entry in lineup.entries] == ["drifting", "flow-2"]
    assert lineup.entries[0].policy.spec.horizon == 16
    assert set(lineup.entries[0].call(obs)) == {"preprocess", "backbone", "head", "postprocess"}
    facts = described(lineup, lineup.entries[0], obs, "cpu")
    assert facts["parameters"] == parameter_count(first) and facts["weights"] == "random"
    assert context_tokens(lineup, obs) == first.encoder(lineup.entries[0].policy.batch(obs)).tokens.shape[1]


def test_a_backbone_timed_apart_gives_the_calls_their_features(tiny):
    obs = synthetic_observation(VIEWS)
    lineup = base_lineup(NAMES, VIEWS, obs, "cpu", tiny("apart"))
    calls = []
    lineup.apart.register_forward_hook(lambda *_: calls.append(1))
    assert lineup.look()["backbone"] > 0 and lineup.look()["backbone"] > 0
    actions = []
    for entry in lineup.entries:
        assert set(entry.call(obs)) == {"preprocess", "context", "head", "postprocess"}
        entry.policy.reset(VIEWS, 0)
        actions.append(entry.policy.act(obs).actions)
    assert len(calls) == 2
    # The policy acts as with the backbone in its place.
    policy = lineup.entries[0].policy
    policy.network.encoder = lineup.apart
    policy.reset(VIEWS, 0)
    assert np.array_equal(policy.act(obs).actions, actions[0])
    facts = described(lineup, lineup.entries[1], obs, "cpu")
    assert facts["parameters"] == facts["head_parameters"] + parameter_count(lineup.apart)


def test_without_a_backbone_features_have_its_shape(tiny, monkeypatch):
    obs = synthetic_observation(VIEWS)
    whole = base_lineup(NAMES[:1], VIEWS, obs, "cpu", tiny("in every call"))
    monkeypatch.setattr(timed_base, "QwenEncoder", None)  # it is not even built
    alone = base_lineup(NAMES[:1], VIEWS, obs, "cpu", tiny("not run"))
    encoder = alone.entries[0].policy.network.encoder
    real = whole.entries[0].policy.network.encoder(whole.entries[0].policy.batch(obs))
    assert isinstance(encoder, KeptFeatures)
    assert encoder.output.tokens.shape == real.tokens.shape and encoder.output.tokens.dtype == real.tokens.dtype
    assert torch.equal(encoder.output.mask, real.mask)
    assert "context" in alone.entries[0].call(obs) and context_tokens(alone, obs) == real.mask.shape[1]


def test_what_cannot_be_built_is_refused(tiny):
    obs = synthetic_observation(VIEWS)
    with pytest.raises(InputError, match="'zero' has no network of ours"):
        base_lineup([("zero", None)], VIEWS, obs, "cpu", tiny("not run"))
    with pytest.raises(InputError, match="Try cpu"):
        base_lineup(NAMES, VIEWS, obs, "warp", tiny("in every call"))
    with pytest.raises(InputError, match="cannot take 4"):
        small_lineup([("drifting", 4)], MOCK, "cpu")
    with pytest.raises(InputError, match="view_0 40 x 40"):
        small_lineup([("drifting", None)], synthetic_task(1, 40), "cpu")
