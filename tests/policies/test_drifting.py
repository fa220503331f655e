import numpy as np
import pytest
import torch

from envs.spec import Camera, InputError, TaskSpec
from model.actions import KEYFRAME_EEF
from model.checkpoint import CheckpointFacts, save_checkpoint
from model.encoder import EncoderConfig
from model.network import NetworkConfig, fresh_network
from model.normalize import Normalizer
from model.text import Vocabulary
from model.trunk import TrunkConfig
from policies.drifting import DriftingPolicy

NAMES = ("gripper_open", "time")


def spec(**changes) -> TaskSpec:
    fields = {
        "suite": "toy",
        "task": "push",
        "cameras": (Camera("front", 32, 32), Camera("wrist", 32, 32), Camera("other", 8, 8)),
        "proprioception": ("time", "joint_0", "gripper_open"),
        "convention": KEYFRAME_EEF,
        "control_hz": None,
        "max_steps": 25,
        "success_rule": "success_once",
        "variations": 1,
        "simulator": "none",
        "simulator_version": "0",
        "adapter_version": 1,
        "action_low": (0.0,) * 8,
        "action_high": (1.0,) * 8,
    }
    return TaskSpec(**(fields | changes))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    vocabulary = Vocabulary.learn(["push the red button"])
    rng = np.random.default_rng(0)
    native = np.concatenate([rng.uniform(size=(9, 3)), np.tile([1.0, 0, 0, 0, 1], (9, 1))], axis=1)
    network = NetworkConfig(
        EncoderConfig(2, 32, 2, len(vocabulary), vocabulary.max_words, width=32, channels=8),
        TrunkConfig(32, width=32, blocks=1, heads=4, ffn=32, cross_ffn=32, horizon=2),
    )
    facts = CheckpointFacts(
        network,
        "drifting",
        {"samples": 4},
        vocabulary,
        Normalizer.fit("absolute_eef", native, rng.uniform(size=(9, 2))),
        ("wrist", "front"),
        NAMES,
        KEYFRAME_EEF,
        {"step": 1},
    )
    weights = fresh_network(network, 0)
    # Gates start at zero: without this the noise would hardly reach the output.
    torch.manual_seed(0)
    for parameter in weights.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    path = tmp_path_factory.mktemp("checkpoint") / "policy.safetensors"
    save_checkpoint(path, facts, weights.state_dict())
    return path


def observation(seed: int = 0):
    rng = np.random.default_rng(seed)
    return {
        "images": {name: rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for name in ("front", "wrist")},
        "proprioception": np.array([0.5, 9.0, 1.0], np.float32),
        "instruction": "Push the RED, unheard-of button!",
    }


def test_a_call_gives_valid_actions_and_measured_spans(checkpoint):
    policy = DriftingPolicy(str(checkpoint))
    policy.reset(spec(), 0)
    chunk = policy.act(observation())
    assert chunk.actions.shape == (2, 128) and chunk.actions.dtype == np.float32
    assert np.allclose(np.linalg.norm(chunk.actions[:, 3:7], axis=1), 1, atol=1e-5)
    assert ((chunk.actions[:, 7] >= 0) & (chunk.actions[:, 7] <= 1)).all() and not chunk.actions[:, 8:].any()
    assert set(chunk.spans) == {"preprocess", "backbone", "head", "postprocess"} and min(chunk.spans.values()) > 0
    assert policy.info.nfe == 1 and policy.info.objective == "drifting" and len(policy.info.checkpoint_sha256) == 64
    assert policy.spec.cameras == ("wrist", "front") and policy.spec.horizon == 2


def test_the_seed_decides_the_sample(checkpoint):
    policy = DriftingPolicy(str(checkpoint))

    def play(seed):
        policy.reset(spec(), seed)
        return np.stack([policy.act(observation()).actions for _ in range(2)])

    first = play(1)
    assert np.array_equal(first, play(1)) and not np.allclose(first, play(2)) and not np.allclose(first[0], first[1])


def test_what_it_sees_matters(checkpoint):
    policy = DriftingPolicy(str(checkpoint))
    changed_views, changed_state = observation(), observation()
    changed_views["images"] = {"front": np.zeros((32, 32, 3), np.uint8), "wrist": observation()["images"]["wrist"]}
    changed_state["proprioception"] = np.array([-0.5, 9.0, 1.0], np.float32)
    changed_words = observation() | {"instruction": "red"}
    results = []
    for obs in (observation(), changed_views, changed_state, changed_words):
        policy.reset(spec(), 0)
        results.append(policy.act(obs).actions)
    for other in results[1:]:
        assert not np.allclose(results[0], other, atol=1e-6)


def test_proprioception_is_read_by_name(checkpoint):
    policy = DriftingPolicy(str(checkpoint))
    policy.reset(spec(), 0)
    before = policy.act(observation()).actions
    policy.reset(spec(proprioception=("gripper_open", "time")), 0)
    assert np.array_equal(before, policy.act(observation() | {"proprioception": np.array([1.0, 0.5])}).actions)


def test_what_does_not_fit_is_refused(checkpoint, tmp_path):
    with pytest.raises(InputError, match=r"train\.run"):
        DriftingPolicy(str(tmp_path / "missing.safetensors"))
    with pytest.raises(InputError, match="cannot be used"):
        DriftingPolicy(str(checkpoint), device="warp")
    policy = DriftingPolicy(str(checkpoint))
    with pytest.raises(InputError, match="gripper_open"):
        policy.reset(spec(proprioception=("time",)), 0)
    with pytest.raises(InputError, match=r"16 x 16"):
        policy.reset(spec(cameras=(Camera("front", 16, 16), Camera("wrist", 32, 32))), 0)
