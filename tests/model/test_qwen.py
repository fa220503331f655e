import copy
from dataclasses import asdict

import numpy as np
import pytest
import torch
from tiny_qwen import tiny_config, write_tiny_qwen
from transformers import Qwen3VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from model.network import parameter_count
from model.observation import ObservationBatch
from model.qwen.config import QWEN3_VL_2B, QwenConfig
from model.qwen.encoder import QwenEncoder
from model.qwen.tokens import QwenTokens

SENTENCES = ["open the drawer", "close the red jar now", "put"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_qwen(tmp_path_factory.mktemp("qwen"))


@pytest.fixture(scope="module")
def encoder(folder):
    return QwenEncoder.load(tiny_config(folder))


def observations(encoder, sentences=SENTENCES, views=2, size=64, real=None, seed=0):
    rng = torch.Generator().manual_seed(seed)
    B = len(sentences)
    return ObservationBatch(
        torch.randint(0, 256, (B, views, size, size, 3), generator=rng, dtype=torch.uint8),
        torch.zeros(B, 4),
        torch.from_numpy(QwenTokens.load(encoder.config).encode(sentences)),
        torch.zeros(B, 7),
        None if real is None else torch.tensor(real),
    )


def row(batch, index, views=None):
    """One observation of a batch; of its views only some, if given."""
    images = batch.images[index : index + 1]
    return ObservationBatch(
        images if views is None else images[:, views],
        batch.proprioception[index : index + 1],
        batch.words[index : index + 1],
        batch.tip[index : index + 1],
    )


def test_published_sizes():
    encoder = QwenEncoder.from_config(QWEN3_VL_2B, QwenConfig(), device="meta")
    assert parameter_count(encoder) == 2_127_532_032
    assert parameter_count(encoder.backbone.visual) == 406_957_056
    assert encoder.width == 2048
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.bfloat16}


def test_settings_survive_json(folder):
    config = tiny_config(folder, lora_rank=4)
    assert QwenConfig(**asdict(config)) == config


def test_hidden_states_are_those_of_the_stock_model(folder, encoder):
    """Against transformers' own image processor, positions, left padding and language model with a head."""
    batch = observations(encoder, real=[[True, True], [False, True], [True, True]])
    tokenizer, side = QwenTokens.load(encoder.config).tokenizer, 2
    tokenizer.encode_special_tokens = False
    view = f"<|vision_start|>{'<|image_pad|>' * side**2}<|vision_end|>"
    chats = [
        f"<|im_start|>user\n{view * count}{sentence}<|im_end|>\n<|im_start|>assistant\n"
        for count, sentence in zip((2, 1, 2), SENTENCES, strict=True)
    ]
    rows = [tokenizer.encode(chat, add_special_tokens=False).ids for chat in chats]
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(ids)) + ids for ids in rows])
    attention = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in rows])
    processor = Qwen2VLImageProcessorPil(
        patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3, size={"shortest_edge": 1024, "longest_edge": 10**6}
    )
    pixels = processor(images=list(batch.images[batch.views].numpy()), return_tensors="pt")
    model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = model(
            input_ids=ids,
            attention_mask=attention,
            mm_token_type_ids=(ids == model.config.image_token_id).int(),
            output_hidden_states=True,
            **pixels,
        ).hidden_states[-1]
    tokens, mask = encoder.look(batch)
    assert mask.sum(1).tolist() == attention.sum(1).tolist()
    for index in range(3):
        torch.testing.assert_close(tokens[index][mask[index]], expected[index][attention[index] > 0], rtol=0, atol=2e-5)


def test_output_has_tokens_and_mask_alone(encoder):
    batch = observations(encoder, views=3)
    output = encoder(batch)
    assert output.anchor is None and output.places is None
    assert output.tokens.shape == (*output.mask.shape, encoder.width)
    assert (output.tokens[~output.mask] == 0).all() and (~output.mask).any()
    features = encoder.look(batch)
    assert encoder.focus(batch, features).tokens is features.tokens


def test_a_row_does_not_depend_on_its_batch(encoder):
    real = [[True, False, True, False, False], [True] * 5, [False, True, False, False, False]]
    batch = observations(encoder, views=5, real=real)
    together = encoder.look(batch)
    for index in range(3):
        alone = encoder.look(row(batch, index, views=[v for v in range(5) if real[index][v]]))
        count = int(alone.mask.sum())
        assert int(together.mask[index].sum()) == count
        torch.testing.assert_close(together.tokens[index, :count], alone.tokens[0, :count], rtol=0, atol=1e-5)


def test_absent_views_are_not_read(encoder):
    batch = observations(encoder, real=[[True, False], [False, True], [False, False]])
    changed = batch._replace(images=batch.images.where(batch.views[..., None, None, None], 255))
    torch.testing.assert_close(encoder.look(batch).tokens, encoder.look(changed).tokens, rtol=0, atol=0)


def test_observations_without_any_view_are_read(encoder):
    features = encoder.look(observations(encoder, real=[[False, False]] * 3))
    assert features.mask.any(1).all() and features.tokens.isfinite().all()


@pytest.mark.parametrize("change", ["order", "pixels", "words"])
def test_what_is_seen_and_said_matters(encoder, change):
    batch = observations(encoder)
    changed = {
        "order": batch._replace(images=batch.images.flip(1)),
        "pixels": batch._replace(images=255 - batch.images),
        "words": batch._replace(words=batch.words.roll(1, 0)),
    }[change]
    # The last token of a row has read all others.
    before, after = (out.tokens[torch.arange(3), out.mask.sum(1) - 1] for out in (encoder(batch), encoder(changed)))
    assert (before - after).abs().amax(1).min() > 1e-3


def test_views_are_resized_before_they_are_read(encoder):
    small = observations(encoder, size=32)
    assert encoder(small).tokens.shape == encoder(observations(encoder)).tokens.shape


def test_frozen_from_the_start(encoder):
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder(observations(encoder)).tokens.requires_grad
    assert not any(module.training for module in encoder.backbone.modules())


def test_eager_attention_agrees(folder, encoder):
    batch = observations(encoder, real=[[True, True], [False, True], [True, True]])
    eager = QwenEncoder.load(tiny_config(folder, attention="eager"))
    assert eager.backbone.language_model.config._attn_implementation == "eager"
    torch.testing.assert_close(eager(batch).tokens, encoder(batch).tokens, rtol=0, atol=2e-5)


def test_bfloat16_weights_give_nearly_the_same(folder, encoder):
    half = QwenEncoder.load(tiny_config(folder, dtype="bfloat16"))
    batch = observations(encoder)
    tokens = half(batch).tokens
    assert tokens.dtype == torch.bfloat16
    error = (tokens.float() - encoder(batch).tokens).norm() / encoder(batch).tokens.norm()
    assert 0 < error < 0.1


def test_checkpoints_hold_no_backbone_weights(folder, encoder):
    network = torch.nn.ModuleDict({"encoder": encoder, "head": torch.nn.Linear(encoder.width, 2)})
    assert set(network.state_dict()) == {"head.weight", "head.bias"}
    network.load_state_dict(network.state_dict(), strict=True)
    with pytest.raises(RuntimeError, match=r"head\.bias"):
        network.load_state_dict({"head.weight": network["head"].weight}, strict=True)


def test_copies_share_the_frozen_weights(encoder):
    other = copy.deepcopy(encoder)
    assert other.backbone is not encoder.backbone
    ours, theirs = dict(encoder.named_parameters()), dict(other.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(ours[name] is theirs[name] for name in ours)
    batch = observations(encoder)
    torch.testing.assert_close(other(batch).tokens, encoder(batch).tokens, rtol=0, atol=0)


def test_random_weights_from_a_configuration(folder, encoder):
    other = QwenEncoder.from_config(encoder.backbone.config, encoder.config, encoder.prompt)
    batch = observations(encoder)
    assert other(batch).tokens.shape == encoder(batch).tokens.shape
    assert not torch.equal(other(batch).tokens, encoder(batch).tokens)


def test_features_of_several_batches_can_be_put_together(encoder):
    parts = [encoder.look(observations(encoder, sentences, seed=n)) for n, sentences in enumerate((SENTENCES, ["put"]))]
    together = torch.cat([part.tokens for part in parts])
    assert together.shape[0] == 4
    assert np.isfinite(together.numpy()).all()
