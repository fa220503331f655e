import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from envs.spec import InputError
from model.actions import KEYFRAME_EEF
from model.anchor import SHIFT
from model.cameras import CameraModel
from model.checkpoint import FORMAT, CheckpointFacts, load_checkpoint, save_checkpoint
from model.encoder import EncoderConfig
from model.heading import TURNS, headings
from model.local import TOKENS
from model.network import Network, NetworkConfig, fresh_network, parameter_count
from model.normalize import Normalizer
from model.objectives import REGISTRY, load_objective
from model.observation import ObservationBatch
from model.text import UNKNOWN, Vocabulary
from model.trunk import BASE, SelfAttention, Trunk, TrunkConfig, rotate

CONFIG = NetworkConfig(
    EncoderConfig(2, 32, 3, 10, 6, width=32, channels=8, keypoints=4),
    TrunkConfig(32, input_dim=8, horizon=2, width=32, blocks=2, heads=4, ffn=48, cross_ffn=32),
)
CAMERAS = (
    CameraModel(60.0, "world", (0.1, 0.2, 1.5), (0.0, 0.0, 0.0, 1.0)),
    CameraModel(80.0, "eef", (0.0, 0.05, 0.1), (0.0, 0.6, 0.0, 0.8)),
)
CALIBRATED = replace(CONFIG, encoder=replace(CONFIG.encoder, cameras=CAMERAS))


def network(config: NetworkConfig = CONFIG) -> Network:
    """Gates start at zero, so random numbers are added: every path must carry signal."""
    made = fresh_network(config, 0).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return made


def batch(size: int = 3, seed: int = 0) -> ObservationBatch:
    rng = torch.Generator().manual_seed(seed)
    words = torch.randint(2, 10, (size, 6), generator=rng)
    words[:, 4:] = 0
    images = torch.randint(0, 256, (size, 2, 32, 32, 3), generator=rng).to(torch.uint8)
    state = torch.randn(size, 3, generator=rng)
    tip = torch.nn.functional.normalize(torch.randn(size, 4, generator=rng), dim=-1)
    return ObservationBatch(images, state, words, torch.cat([torch.randn(size, 3, generator=rng), tip], dim=-1))


def ids(size: int = 3) -> torch.Tensor:
    return torch.zeros(size, dtype=torch.long)


def test_samples_of_one_observation_do_not_see_each_other_or_other_observations():
    net, noise = network(CALIBRATED), torch.randn(3, 4, 2, 8)
    with torch.no_grad():
        context, output = net.encode_and_anchor(batch(), ids())
        together = net.trunk(noise, context)
        context, single = net.encode_and_anchor(ObservationBatch(*(t[1:2] for t in batch()[:4])), ids(1))
        alone = net.trunk(noise[1:2, 2:3], context)
    assert together.shape == (3, 4, 2, 128)
    assert torch.allclose(together[1:2, 2:3], alone, atol=1e-5)
    assert torch.allclose(output.places.pointer[1:2], single.places.pointer, atol=1e-4)
    assert torch.allclose(output.places.refined[1:2], single.places.refined, atol=1e-4)


def test_every_input_matters_and_padding_does_not():
    net, noise = network(), torch.randn(3, 1, 2, 8)
    run = lambda b, e=ids(): net.trunk(noise, net.encode(b, e))  # noqa: B008, E731
    with torch.no_grad():
        base = run(batch())
        other = batch(seed=1)
        for field in ("images", "proprioception", "words"):
            assert not torch.allclose(base, run(batch()._replace(**{field: getattr(other, field)})), atol=1e-4)
        assert not torch.allclose(base, run(batch(), ids() + 1), atol=1e-4)
        swapped = batch().words.clone()
        swapped[:, [0, 1]] = swapped[:, [1, 0]]
        assert not torch.allclose(base, run(batch()._replace(words=swapped)), atol=1e-5)
        net.encoder.word.weight[0] += 5.0
        net.encoder.word_position[4:] += 5.0
        assert torch.allclose(base, run(batch()), atol=1e-5)


def test_time_conditions_the_trunk_when_asked():
    config = replace(CONFIG, trunk=replace(CONFIG.trunk, time_embedding=True))
    net, noise = network(config), torch.randn(3, 1, 2, 8)
    with torch.no_grad():
        context = net.encode(batch(), ids())
        early, late = (net.trunk(noise, context, torch.full((3, 1), t)) for t in (0.1, 0.9))
    assert not torch.allclose(early, late, atol=1e-4)
    extra = parameter_count(net) - parameter_count(network())
    assert extra == (256 * 32 + 32) + (32 * 32 + 32)


def test_blocks_start_as_the_identity():
    trunk = Trunk(CONFIG.trunk)
    x, condition = torch.randn(2, 3, 32), torch.randn(2, 32)
    assert all(torch.equal(block(x, condition), x) for block in trunk.blocks)


def test_rotary_attention_depends_on_relative_position_alone():
    q, k = torch.randn(2, 1, 1, 1, 8)
    scores = rotate(q.expand(1, 1, 6, 8)) @ rotate(k.expand(1, 1, 6, 8)).transpose(-1, -2)
    assert torch.allclose(scores[0, 0, :-1, :-1], scores[0, 0, 1:, 1:], atol=1e-5)
    assert not torch.allclose(scores[0, 0, 0, 0], scores[0, 0, 0, 3], atol=1e-4)
    layer = SelfAttention(16, 2)
    x = torch.randn(1, 5, 16)
    assert not torch.allclose(layer(x).flip(1), layer(x.flip(1)), atol=1e-5)


def test_a_view_is_cut_into_patches_at_their_places():
    """One changed pixel must move the stem at its own cell: the fine map is not scrambled."""
    net = network()
    seen = []
    net.encoder.fine.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    first = batch(1)
    images = first.images.clone()
    images[0, 1, 9, 22] = 255 - images[0, 1, 9, 22]
    with torch.no_grad():
        net.encode(first, ids(1))
        net.encode(first._replace(images=images), ids(1))
    changed = (seen[0] - seen[1]).abs().sum(1)  # [views, rows, columns]
    assert changed.nonzero().tolist() == [[1, 9 // 4, 22 // 4]]


def test_calibration_adds_a_point_and_a_close_look():
    """The pointer is the same with and without it; the end effector's pose reaches what is in space alone."""
    plain, calibrated = network(), network(CALIBRATED)
    shared = plain.encoder.state_dict()
    extra = calibrated.encoder.load_state_dict(shared, strict=False)
    assert not extra.unexpected_keys and {name.split(".")[0] for name in extra.missing_keys} == {"local"}
    moved = batch()._replace(tip=batch(seed=1).tip)
    with torch.no_grad():
        without, output, other = plain.encoder(batch()), calibrated.encoder(batch()), calibrated.encoder(moved)
        glimpse = plain.encoder.look(batch())
    assert without.places is None and without.anchor is None
    assert output.places.point.shape == (3, 3) and output.places.pointer.shape == (3, 2, 8 * 8 + 1)
    assert torch.equal(glimpse.logits, output.places.pointer)
    assert torch.equal(other.places.pointer, output.places.pointer)
    assert output.tokens.shape[1] == without.tokens.shape[1] + TOKENS
    assert not torch.allclose(other.places.point, output.places.point, atol=1e-2)
    assert torch.equal(output.anchor.point, output.places.refined)
    best = headings()[output.places.turn.argmax(-1)]
    away = torch.remainder(output.anchor.turn - best + torch.pi, 2 * torch.pi) - torch.pi
    assert (away.abs() < 3 * 2 * torch.pi / TURNS).all() and (output.places.frame.turn == 0).all()
    assert torch.equal(output.places.frame.point, output.places.point)


def test_training_looks_near_the_goal_and_turned():
    net, goal = network(CALIBRATED), torch.randn(3, 3)
    with torch.no_grad():
        still, moved = net.encoder(batch()), net.encoder(batch(), goal, torch.Generator().manual_seed(0))
    assert torch.equal(still.places.point, moved.places.point) and not torch.allclose(still.tokens, moved.tokens)
    away = (moved.places.frame.point - goal).norm(dim=-1)
    assert (moved.anchor.turn != 0).all() and (away > 0).all() and (away < 5 * SHIFT).all()


def test_a_kept_glimpse_gives_the_same_encoding():
    net = network(CALIBRATED).encoder
    with torch.no_grad():
        whole, parts = net(batch()), net.focus(batch(), net.look(batch()))
    assert torch.equal(whole.tokens, parts.tokens) and torch.equal(whole.anchor.point, parts.anchor.point)


def test_guidance_conditions_the_trunk_when_asked():
    config = replace(CONFIG, trunk=replace(CONFIG.trunk, guidance_embedding=True))
    net, noise = network(config), torch.randn(3, 1, 2, 8)
    with torch.no_grad():
        context = net.encode(batch(), ids())
        none, zero, some = (net.trunk(noise, context, guidance=g) for g in (None, torch.zeros(3, 1), torch.ones(3, 1)))
    assert torch.equal(none, zero) and not torch.allclose(none, some, atol=1e-4)


def test_the_specified_head_has_146_million_parameters():
    """DESIGN's `base`: width 768, 12 blocks, SwiGLU of 2,048 also in the cross-attention layers, chunks of 16."""
    with torch.device("meta"):
        trunk = Trunk(BASE)
    assert parameter_count(trunk) == 146_005_376
    assert parameter_count(trunk.blocks[0]) == 10_624_512
    assert parameter_count(trunk.blocks[0].attention) == 2_362_368


def test_the_point_depends_on_views_and_words():
    net = network(CALIBRATED)
    with torch.no_grad():
        base = net.encoder(batch()).places.refined
        for field in ("images", "proprioception", "words"):
            other = net.encoder(batch()._replace(**{field: getattr(batch(seed=1), field)})).places.refined
            assert not torch.allclose(base, other, atol=1e-4)


def test_words():
    vocabulary = Vocabulary.learn(["Push the red button.", "open the drawer"])
    assert vocabulary.max_words == 8
    row = vocabulary.encode(["push THE blue, button"])[0]
    assert row[2] == UNKNOWN and row[4:].tolist() == [0, 0, 0, 0] and len(set(row[:4].tolist())) == 4
    assert vocabulary.encode(["word " * 30]).shape == (1, 8)


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(3)
    first = fresh_network(CONFIG, 7)
    state = torch.random.get_rng_state()
    second = fresh_network(CONFIG, 7)
    assert torch.equal(state, torch.random.get_rng_state())
    pairs = list(zip(first.parameters(), second.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(
        not torch.equal(a, b) for a, b in zip(first.parameters(), fresh_network(CONFIG, 8).parameters(), strict=True)
    )


def test_registry_names_what_it_knows():
    for name in REGISTRY:
        assert load_objective(name).name == name
    with pytest.raises(InputError, match="Did you mean 'drifting'"):
        load_objective("driftin")


@pytest.fixture
def facts() -> CheckpointFacts:
    rng = np.random.default_rng(0)
    native = np.concatenate([rng.uniform(size=(9, 3)), np.tile([1.0, 0, 0, 0, 1], (9, 1))], axis=1)
    return CheckpointFacts(
        CONFIG,
        "drifting",
        {"samples": 8, "taus": [0.02, 0.2]},
        Vocabulary(tuple("abcdefgh"), 6),
        Normalizer.fit("absolute_eef", native, rng.uniform(size=(9, 3))),
        ("front", "wrist"),
        ("a", "b", "c"),
        KEYFRAME_EEF,
        {"step": 5, "seed": 0},
    )


def test_a_checkpoint_comes_back_whole(tmp_path, facts):
    path, net = tmp_path / "deep" / "c.safetensors", network()
    digest = save_checkpoint(path, facts, net.state_dict())
    loaded = load_checkpoint(path, "drifting")
    assert loaded.facts == facts and loaded.sha256 == digest
    for name, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name].bfloat16().float())
    assert [p.name for p in path.parent.iterdir()] == ["c.safetensors"]
    assert save_checkpoint(path, facts, net.state_dict()) == digest


def test_calibration_survives_the_checkpoint(tmp_path, facts):
    path, facts = tmp_path / "c.safetensors", replace(facts, network=CALIBRATED)
    plain = json.loads(json.dumps(asdict(CALIBRATED.encoder)))
    assert isinstance(plain["cameras"][0], dict) and EncoderConfig(**plain) == CALIBRATED.encoder
    save_checkpoint(path, facts, network(CALIBRATED).state_dict())
    loaded = load_checkpoint(path)
    cameras = loaded.facts.network.encoder.cameras
    assert loaded.facts == facts and cameras == CAMERAS and all(isinstance(c, CameraModel) for c in cameras)
    net = network(CALIBRATED)
    net.load_state_dict({name: tensor.bfloat16().float() for name, tensor in net.state_dict().items()})
    with torch.no_grad():
        assert torch.equal(net.encoder(batch()).anchor.point, loaded.network.encoder(batch()).anchor.point)


def test_wrong_files_are_refused_by_name(tmp_path, facts):
    path = tmp_path / "c.safetensors"
    with pytest.raises(InputError, match="no checkpoint"):
        load_checkpoint(path)
    path.write_bytes(b"not weights at all")
    with pytest.raises(InputError, match="not a safetensors file"):
        load_checkpoint(path)
    save_checkpoint(path, facts, network().state_dict())
    with pytest.raises(InputError, match=r"'drifting'.*'mse'"):
        load_checkpoint(path, "mse")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="does not hold the weights"):
        load_checkpoint(path)
    path.write_bytes(
        whole.replace(b'\\"version\\":2', b'\\"version\\":7').replace(b'\\"version\\": 2', b'\\"version\\": 7')
    )
    with pytest.raises(InputError, match="format version 7"):
        load_checkpoint(path)
    path.write_bytes(whole.replace(FORMAT.encode(), b"x" * len(FORMAT)))
    with pytest.raises(InputError, match="something else"):
        load_checkpoint(path)
    state = network().state_dict()
    state.pop("trunk.position")
    save_checkpoint(path, facts, state)
    with pytest.raises(InputError, match=r"trunk\.position"):
        load_checkpoint(path)


def test_the_shipped_size_fits_its_budget():
    """18 MB in bfloat16, with five calibrated views and room for the words of a whole suite."""
    encoder = EncoderConfig(
        views=5, image_size=128, proprioception=18, vocabulary=200, max_words=24, cameras=CAMERAS * 2 + CAMERAS[:1]
    )
    for sizes in ({}, {"input_dim": 128, "time_embedding": True}):
        with torch.device("meta"):
            net = Network(NetworkConfig(encoder, TrunkConfig(encoder.width, **sizes)))
        assert 17.0e6 < 2 * parameter_count(net) < 18.0e6
