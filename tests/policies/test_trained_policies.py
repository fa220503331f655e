from dataclasses import replace

import numpy as np
import pytest
import torch

from envs.spec import Camera, InputError, TaskSpec
from model.actions import EMBODIMENTS, KEYFRAME_EEF
from model.anchor import from_offsets
from model.cameras import CameraModel
from model.checkpoint import CheckpointFacts, file_sha256, save_checkpoint
from model.encoder import EncoderConfig
from model.network import Network, NetworkConfig, fresh_network
from model.normalize import Normalizer
from model.objectives import REGISTRY, load_objective
from model.objectives.base import options_of
from model.observation import ObservationBatch
from model.text import Vocabulary
from model.trunk import TrunkConfig
from policies import shipped
from policies.drifting import DriftingPolicy
from policies.registry import make_policy

TIP = ("eef_x", "eef_y", "eef_z", "eef_qx", "eef_qy", "eef_qz", "eef_qw")
NAMES = ("gripper_open", *TIP, "time")
WRIST = Camera("wrist", 32, 32, 60.0, "eef", (0.0, 0.1, -0.05), (0.0, 0.0, 0.6, 0.8))
FRONT = Camera("front", 32, 32, 40.0, "world", (1.0, 0.2, 1.5), (0.5, 0.5, 0.5, 0.5))


def spec(**changes) -> TaskSpec:
    fields = {
        "suite": "toy",
        "task": "push",
        "cameras": (FRONT, WRIST, Camera("other", 8, 8)),
        "proprioception": ("time", "joint_0", "gripper_open", *TIP),
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


def make_checkpoint(path, calibrated: bool, objective: str = "drifting") -> tuple[CheckpointFacts, Network]:
    """Writes a checkpoint; returns its facts, and its network with the weights as they were rounded."""
    made = load_objective(objective)
    vocabulary = Vocabulary.learn(["push the red button"])
    rng = np.random.default_rng(0)
    native = np.concatenate([rng.uniform(size=(9, 3)), np.tile([1.0, 0, 0, 0, 1], (9, 1))], axis=1)
    cameras = tuple(CameraModel(c.fov, c.mount, c.position, c.quaternion) for c in (WRIST, FRONT))
    encoder = EncoderConfig(2, 32, len(NAMES), len(vocabulary), vocabulary.max_words, width=32, channels=8)
    network = NetworkConfig(
        replace(encoder, cameras=cameras if calibrated else ()),
        TrunkConfig(
            32,
            input_dim=made.input_dim or 64,
            time_embedding=made.time_embedding,
            width=32,
            blocks=1,
            heads=4,
            ffn=32,
            cross_ffn=32,
            horizon=2,
        ),
    )
    facts = CheckpointFacts(
        network,
        objective,
        options_of(made),
        vocabulary,
        Normalizer.fit("absolute_eef", native, rng.uniform(size=(9, len(NAMES)))),
        ("wrist", "front"),
        NAMES,
        KEYFRAME_EEF,
        {"step": 1},
    )
    weights = fresh_network(network, 0).eval()
    # Gates start at zero: without this the noise would hardly reach the output.
    generator = torch.Generator().manual_seed(0)
    for parameter in weights.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    save_checkpoint(path, facts, weights.state_dict())
    weights.load_state_dict({name: tensor.bfloat16().float() for name, tensor in weights.state_dict().items()})
    return facts, weights


@pytest.fixture(scope="module", params=[False, True], ids=["uncalibrated", "calibrated"])
def made(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "policy.safetensors"
    return path, *make_checkpoint(path, request.param)


@pytest.fixture(scope="module")
def checkpoint(made):
    return made[0]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "calibrated.safetensors"
    make_checkpoint(path, True)
    return path


def observation(seed: int = 0):
    rng = np.random.default_rng(seed)
    return {
        "images": {name: rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for name in ("front", "wrist")},
        "proprioception": np.array([0.5, 9.0, 1.0, 0.3, 0.1, 1.1, 0.6, 0.0, 0.0, 0.8], np.float32),
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
    changed_state["proprioception"][0] = -0.5
    changed_words = observation() | {"instruction": "red"}
    results = []
    for obs in (observation(), changed_views, changed_state, changed_words):
        policy.reset(spec(), 0)
        results.append(policy.act(obs).actions)
    for other in results[1:]:
        assert not np.allclose(results[0], other, atol=1e-6)


def test_the_checkpoint_alone_makes_the_policy(made):
    """The policy acts as its parts do: network with its calibration, objective, offsets from the point, scales."""
    path, facts, network = made
    policy, obs = DriftingPolicy(str(path)), observation()
    policy.reset(spec(), 3)
    state = obs["proprioception"][[2, *range(3, 10), 0]]
    with torch.inference_mode():
        context, encoded = network.encode_and_anchor(
            ObservationBatch(
                torch.from_numpy(np.stack([obs["images"]["wrist"], obs["images"]["front"]]))[None],
                torch.from_numpy(facts.normalizer.proprioception(state))[None],
                torch.from_numpy(facts.vocabulary.encode([obs["instruction"]])),
                torch.from_numpy(state[1:8])[None],
            ),
            torch.tensor([EMBODIMENTS["absolute_eef"].id]),
        )
        rng = torch.Generator().manual_seed(3)
        chunk = load_objective("drifting", **facts.options).sample(network.trunk, context, 1, rng)[:, 0]
        expected = facts.normalizer.to_action(from_offsets(chunk, encoded.anchor, facts.normalizer)[0].numpy())
    assert (encoded.places is not None) == bool(facts.network.encoder.cameras)
    assert np.array_equal(policy.act(obs).actions, expected)


def test_proprioception_is_read_by_name(checkpoint):
    policy, obs = DriftingPolicy(str(checkpoint)), observation()
    policy.reset(spec(), 0)
    before = policy.act(obs).actions
    order = [2, *range(9, 2, -1), 0]
    policy.reset(spec(proprioception=("gripper_open", *TIP[::-1], "time")), 0)
    assert np.array_equal(before, policy.act(obs | {"proprioception": obs["proprioception"][order]}).actions)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("front", {"fov": 41.0}),
        ("front", {"fov": None}),
        ("front", {"position": (1.0, 0.2, 1.501)}),
        ("wrist", {"mount": "world"}),
        ("wrist", {"quaternion": (0.0, 0.6, 0.0, 0.8)}),
    ],
)
def test_a_camera_that_is_elsewhere_is_refused(calibrated, tmp_path, name, change):
    policy = DriftingPolicy(str(calibrated))
    cameras = tuple(replace(c, **change) if c.name == name else c for c in spec().cameras)
    with pytest.raises(InputError, match=f"camera {name} of task toy/push.*trained for this suite"):
        policy.reset(spec(cameras=cameras), 0)
    policy.reset(spec(), 0)
    policy.reset(spec(cameras=cameras[::-1][:1] + spec().cameras[:2]), 0)
    make_checkpoint(tmp_path / "c.safetensors", False)
    DriftingPolicy(str(tmp_path / "c.safetensors")).reset(spec(cameras=cameras), 0)  # it never learned where they are


def test_what_does_not_fit_is_refused(checkpoint, tmp_path):
    with pytest.raises(InputError, match=r"train\.run"):
        DriftingPolicy(str(tmp_path / "missing.safetensors"))
    with pytest.raises(InputError, match="cannot be used"):
        DriftingPolicy(str(checkpoint), device="warp")
    policy = DriftingPolicy(str(checkpoint))
    with pytest.raises(InputError, match="gripper_open"):
        policy.reset(spec(proprioception=("time", *TIP)), 0)
    with pytest.raises(InputError, match=r"16 x 16"):
        policy.reset(spec(cameras=(Camera("front", 16, 16), Camera("wrist", 32, 32))), 0)


def test_a_suite_has_its_own_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "CHECKPOINTS", tmp_path)
    make_checkpoint(tmp_path / "toy_drifting.safetensors", True)
    make_checkpoint(tmp_path / "toy_wide_drifting.safetensors", False)
    toy, wide = (make_policy("drifting", suite=suite) for suite in ("toy", "toy_wide"))
    assert toy.info.checkpoint_sha256 == file_sha256(tmp_path / "toy_drifting.safetensors")
    assert wide.info.checkpoint_sha256 == file_sha256(tmp_path / "toy_wide_drifting.safetensors")
    given = make_policy("drifting", str(tmp_path / "toy_wide_drifting.safetensors"), suite="toy")
    assert given.info.checkpoint_sha256 == wide.info.checkpoint_sha256
    with pytest.raises(InputError, match=r"drifting for suite other .*\(for toy and toy_wide they do\).*--suite other"):
        make_policy("drifting", suite="other")
    with pytest.raises(InputError, match=r"flow for suite toy ship with the repository\. Train one with"):
        make_policy("flow", suite="toy")
    assert make_policy("zero", suite="toy").info.name == "zero"


NFE = {"drifting": 1, "mse": 1, "cimle": 1, "hybrid_queue": 1, "flow": 10, "diffusion": 100}


@pytest.mark.parametrize("objective", REGISTRY)
def test_every_objective_has_a_policy(tmp_path, objective):
    path = tmp_path / "policy.safetensors"
    make_checkpoint(path, True, objective)
    policy = make_policy(objective, checkpoint=str(path))
    assert (policy.info.name, policy.info.objective, policy.info.nfe) == (objective, objective, NFE[objective])
    policy.reset(spec(), 0)
    first = policy.act(observation()).actions
    policy.reset(spec(), 0)
    assert np.isfinite(first).all() and np.array_equal(policy.act(observation()).actions, first)
    with pytest.raises(InputError, match="was trained with objective"):
        make_policy("mse" if objective == "drifting" else "drifting", checkpoint=str(path))


@pytest.mark.parametrize(("objective", "nfe"), [("diffusion", 10), ("flow", 1)])
def test_the_number_of_passes_can_be_chosen(tmp_path, objective, nfe):
    path = tmp_path / "policy.safetensors"
    make_checkpoint(path, True, objective)
    usual, quick = make_policy(objective, str(path)), make_policy(objective, str(path), nfe=nfe)
    assert (quick.info.name, quick.info.nfe) == (f"{objective}-{nfe}", nfe)
    actions = []
    for policy in (usual, quick):
        passes = []
        policy._network.trunk.register_forward_hook(lambda *_, passes=passes: passes.append(1))
        policy.reset(spec(), 0)
        actions.append(policy.act(observation()).actions)
        assert len(passes) == policy.info.nfe
    assert not np.array_equal(*actions)


def test_a_number_of_passes_that_cannot_be_is_refused(tmp_path, calibrated):
    with pytest.raises(InputError, match="cannot take 10"):
        make_policy("drifting", str(calibrated), nfe=10)
    with pytest.raises(InputError, match="leave --nfe out"):
        make_policy("zero", nfe=10)
    path = tmp_path / "policy.safetensors"
    make_checkpoint(path, True, "diffusion")
    with pytest.raises(InputError, match="cannot be sampled in 7"):
        make_policy("diffusion", str(path), nfe=7)
