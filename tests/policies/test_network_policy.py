from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_qwen import tiny_config, write_tiny_qwen

from envs.spec import Camera, InputError
from model.actions import EMBODIMENTS
from model.checkpoint import save_checkpoint
from model.network import Network, fresh_network
from model.objectives import load_objective
from model.observation import ObservationBatch
from model.qwen.encoder import QwenEncoder
from model.qwen.lora import lora_parameters
from model.qwen.tokens import QwenTokens
from model.trunk import TrunkConfig
from policies.drifting import DriftingPolicy
from policies.network_policy import NetworkPolicy
from policies.untrained import base_facts, small_facts, synthetic_observation, synthetic_task

TRUNK = TrunkConfig(32, horizon=4, width=32, blocks=1, heads=4, ffn=32, cross_ffn=32, guidance_embedding=True)
TASK = synthetic_task(2, 48)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_qwen(tmp_path_factory.mktemp("qwen"))


def qwen_facts(folder, **changes):
    config = tiny_config(folder, **changes)
    facts = base_facts(load_objective("drifting"), TASK, config, 32)
    return replace(
        facts, network=replace(facts.network, trunk=TRUNK), vocabulary=QwenTokens.load(config), proprioception=("time",)
    )


def alive(network):
    """Gates start at zero: without this neither noise nor context would reach the output."""
    rng = torch.Generator().manual_seed(0)
    for parameter in network.trunk.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=rng)
    return network


@pytest.fixture(scope="module")
def qwen(folder):
    facts = qwen_facts(folder)
    return NetworkPolicy(facts, alive(fresh_network(facts.network, 0)))


def act(policy, obs, task=TASK, seed=0):
    policy.reset(task, seed)
    return policy.act(obs).actions


def test_lora_is_merged_and_still_counts(folder):
    facts = qwen_facts(folder, lora_rank=2)
    network = alive(fresh_network(facts.network, 0))
    obs = synthetic_observation(TASK)
    plain = act(NetworkPolicy(facts, deepcopy(network)), obs)
    for _, parameter in lora_parameters(network.encoder):
        parameter.data += 0.3
    adapted = deepcopy(network)
    policy = NetworkPolicy(facts, network)
    assert not list(lora_parameters(policy.network.encoder)) and list(lora_parameters(adapted.encoder))
    made = act(policy, obs)
    assert np.abs(made - plain).max() > 1e-3
    policy.network.encoder = adapted.encoder.eval()
    np.testing.assert_allclose(made, act(policy, obs), atol=1e-4)


def test_a_qwen_policy_acts_as_its_parts_do(qwen):
    obs = synthetic_observation(TASK)
    qwen.reset(TASK, 3)
    chunk = qwen.act(obs)
    network, facts = qwen.network, qwen._facts
    with torch.inference_mode():
        batch = ObservationBatch(
            torch.from_numpy(np.stack([obs["images"]["view_0"], obs["images"]["view_1"]]))[None],
            torch.zeros(1, 0),
            torch.from_numpy(facts.vocabulary.encode([obs["instruction"]])),
            torch.zeros(1, 7),
        )
        context = network.encode(batch, torch.tensor([EMBODIMENTS["absolute_eef"].id]))
        rng = torch.Generator().manual_seed(3)
        internal = load_objective("drifting").sample(network.trunk, context, 1, rng)[0, 0]
    assert isinstance(network.encoder, QwenEncoder)
    assert np.array_equal(chunk.actions, facts.normalizer.to_action(internal.numpy()))
    assert chunk.actions.shape == (4, 128) and qwen.spec.horizon == 4
    assert set(chunk.spans) == {"preprocess", "backbone", "head", "postprocess"}
    assert qwen.info.checkpoint_sha256 is None and qwen.sampler == "one pass"


def test_a_qwen_policy_reads_views_and_words_but_no_proprioception(qwen):
    obs = synthetic_observation(TASK)
    dark = obs | {"images": {name: np.zeros_like(image) for name, image in obs["images"].items()}}
    before = act(qwen, obs)
    assert not np.allclose(before, act(qwen, dark), atol=1e-6)
    assert not np.allclose(before, act(qwen, obs | {"instruction": "close the red jar"}), atol=1e-6)
    # It was trained beside an entry "time", which this task lacks, and this observation has entries of its own.
    assert np.array_equal(before, act(qwen, obs | {"proprioception": np.full(5, 9.0, np.float32)}))


def test_a_qwen_policy_takes_views_of_any_size_and_place(qwen):
    wide = replace(TASK, cameras=tuple(Camera(f"view_{k}", 40, 60, 50.0, "world", (k, 0, 1)) for k in range(3)))
    assert np.isfinite(act(qwen, synthetic_observation(wide), wide)).all()
    mixed = replace(TASK, cameras=(Camera("view_0", 48, 48), Camera("view_1", 64, 64)))
    with pytest.raises(InputError, match=r"view_0 48 x 48, view_1 64 x 64.*one size in the suite"):
        qwen.reset(mixed, 0)
    qwen.reset(replace(TASK, cameras=(*TASK.cameras, Camera("other", 8, 8))), 0)  # which it does not look at


def test_a_qwen_policy_in_bfloat16_says_nearly_the_same(folder, qwen):
    facts = qwen_facts(folder, dtype="bfloat16")
    network = Network(facts.network, QwenEncoder.load(facts.network.encoder))
    network.trunk.load_state_dict(qwen.network.trunk.state_dict())
    half = NetworkPolicy(facts, network)
    assert network.encoder.backbone.dtype == torch.bfloat16
    obs = synthetic_observation(TASK)
    exact, rounded = act(qwen, obs)[:, :3], act(half, obs)[:, :3]
    assert not np.array_equal(exact, rounded) and np.abs(exact - rounded).max() < 0.1 * np.abs(exact).max()


def test_a_qwen_checkpoint_makes_the_same_policy(folder, qwen, tmp_path):
    path = tmp_path / "base.safetensors"
    trunk = qwen.network.trunk
    rounded = {name: tensor.bfloat16().float() for name, tensor in trunk.state_dict().items()}
    sha = save_checkpoint(path, qwen._facts, {f"trunk.{name}": tensor for name, tensor in rounded.items()})
    loaded = DriftingPolicy(str(path))
    network = Network(qwen._facts.network, qwen.network.encoder)
    network.trunk.load_state_dict(rounded)
    obs = synthetic_observation(TASK)
    assert loaded.info.checkpoint_sha256 == sha
    assert np.array_equal(act(loaded, obs), act(NetworkPolicy(qwen._facts, network), obs))


@pytest.mark.parametrize("objective", ["drifting", "flow"])
def test_stored_bfloat16_weights_are_what_autocast_makes_of_them(objective):
    task = replace(TASK, proprioception=("time",))
    facts = small_facts(load_objective(objective), task)
    facts = replace(facts, network=replace(facts.network, trunk=replace(facts.network.trunk, width=32, ffn=32)))
    networks = [alive(fresh_network(facts.network, 0)) for _ in range(2)]
    stored, exact = (
        NetworkPolicy(facts, network, dtype=dtype)
        for network, dtype in zip(networks, (torch.bfloat16, torch.float32), strict=True)
    )
    assert networks[0].trunk.blocks[0].ffn.down.weight.dtype == torch.bfloat16
    assert networks[0].trunk.head[0].weight.dtype == networks[0].encoder.cell.weight.dtype == torch.float32
    obs = synthetic_observation(task)
    exact.reset(task, 0)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        context, _ = exact.network.encode_and_anchor(exact.batch(obs), torch.tensor([EMBODIMENTS["absolute_eef"].id]))
        rng = torch.Generator().manual_seed(0)
        mask = torch.from_numpy(facts.normalizer.mask)
        internal = load_objective(objective).sample(exact.network.trunk, context, 1, rng, mask=mask)[0, 0]
    assert np.array_equal(act(stored, obs, task), facts.normalizer.to_action(internal.float().numpy()))
    assert not np.array_equal(act(stored, obs, task), act(exact, obs, task))
