import numpy as np
import pytest
import torch
from PIL import Image
from tiny_qwen import tiny_config, write_tiny_qwen
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from envs.spec import InputError
from model.qwen.input import patches, sequence
from model.qwen.tokens import QWEN_PROMPT, QwenTokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_qwen(tmp_path_factory.mktemp("qwen"))


@pytest.fixture(scope="module")
def tokens(folder):
    return QwenTokens.load(tiny_config(folder))


def pictures(count, size, seed=0):
    """Smooth random pictures: of noise, resizing would leave nothing to compare."""
    coarse = torch.rand((count, 3, 6, 6), generator=torch.Generator().manual_seed(seed)) * 255
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=True)
    return smooth.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def stock(images):
    processor = Qwen2VLImageProcessorPil(
        patch_size=16,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        size={"shortest_edge": 65536, "longest_edge": 16777216},
    )
    return processor(images=images, return_tensors="pt")


@pytest.mark.parametrize(("size", "target", "levels"), [(448, 448, 0), (128, 448, 1), (512, 448, 1), (100, 256, 1)])
def test_patches_are_those_of_the_stock_processor(size, target, levels):
    images = pictures(2, size)
    resized = [Image.fromarray(image.numpy()).resize((target, target), Image.Resampling.BICUBIC) for image in images]
    expected = stock(resized)
    ours = patches(images, target)
    assert expected["image_grid_thw"].tolist() == [[1, target // 16, target // 16]] * 2
    assert ours.shape == expected["pixel_values"].shape
    # one level of 8 bits is 1 / 127.5
    torch.testing.assert_close(ours, expected["pixel_values"], rtol=0, atol=levels / 127.5 + 1e-5)
    assert (ours - expected["pixel_values"]).abs().mean() < 2e-3


def test_patches_keep_to_the_range_of_bytes():
    edge = torch.zeros((1, 32, 32, 3), dtype=torch.uint8)
    edge[:, :, 16:] = 255  # bicubic overshoots here
    values = patches(edge, 64)
    assert values.min() == -1 and values.max() == 1


def test_tokens_are_the_tokenizers_and_leave_zero_to_padding(tokens):
    encoded = tokens.encode(["open the drawer", " open the drawer\n", "", "close " * 40])
    assert encoded.shape == (4, 12) and encoded.dtype == np.int64
    count = int((encoded[0] > 0).sum())
    assert tokens.tokenizer.decode((encoded[0, :count] - 1).tolist()) == "open the drawer"
    assert (encoded[0, count:] == 0).all() and (encoded[2] == 0).all() and (encoded[3] > 0).all()
    np.testing.assert_array_equal(encoded[0], encoded[1])
    assert encoded.max() < len(tokens)


def test_control_tokens_in_an_instruction_are_text(tokens):
    control = set(tokens.prompt().prefix) | {tokens.prompt().view, tokens.prompt().suffix[0]}
    encoded = tokens.encode(["<|image_pad|><|im_end|>"])
    assert not control & set((encoded[encoded > 0] - 1).tolist()) - set(tokens._ids("user\nassistant"))


def test_prompt_is_the_chat_of_one_user_message(tokens):
    prompt = tokens.prompt()
    ids = [*prompt.prefix, prompt.view_start, prompt.view, prompt.view_end, *tokens._ids("open"), *prompt.suffix]
    expected = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>open<|im_end|>\n<|im_start|>assistant\n"
    assert tokens.tokenizer.decode(ids, skip_special_tokens=False) == expected


@pytest.mark.parametrize("views", [1, 2, 3, 5])
def test_a_view_of_448_pixels_takes_196_visual_tokens(views):
    words = torch.tensor([[9, 8, 7, 0, 0]])
    laid = sequence(QWEN_PROMPT, words, None, views, 448 // 32)
    assert int(laid.visual.sum()) == 196 * views
    assert int(laid.mask.sum()) == 198 * views + 3 + len(QWEN_PROMPT.prefix) + len(QWEN_PROMPT.suffix)
    assert laid.ids.shape == (1, 198 * views + 5 + 8)
    assert int((laid.ids == QWEN_PROMPT.view_start).sum()) == views


def test_sequence_skips_absent_views_and_words():
    words = torch.tensor([[11, 12, 0], [13, 0, 0], [14, 15, 16]])
    views = torch.tensor([[True, True, False], [False, True, False], [False, False, False]])
    laid = sequence(QWEN_PROMPT, words, views, 3, 2)
    start, end = list(QWEN_PROMPT.prefix), list(QWEN_PROMPT.suffix)
    view = [QWEN_PROMPT.view_start, *[QWEN_PROMPT.view] * 4, QWEN_PROMPT.view_end]
    rows = [start + view + view + [10, 11] + end, start + view + [12] + end, [*start, 13, 14, 15, *end]]
    assert laid.ids.shape[1] == len(start + view + view + end) + 3  # no room for a third view
    for row, expected in enumerate(rows):
        assert laid.ids[row, laid.mask[row]].tolist() == expected
        assert not laid.mask[row, len(expected) :].any()
    assert not (laid.visual & ~laid.mask).any()
    assert QWEN_PROMPT.view not in laid.ids[~laid.mask]


def test_length_does_not_depend_on_the_sentences():
    short = sequence(QWEN_PROMPT, torch.tensor([[5, 0, 0, 0]]), None, 2, 2)
    long = sequence(QWEN_PROMPT, torch.tensor([[5, 6, 7, 8]]), None, 2, 2)
    assert short.ids.shape == long.ids.shape


def test_layout_made_in_inference_serves_training():
    words = torch.tensor([[5, 6]])
    with torch.inference_mode():
        sequence(QWEN_PROMPT, words, None, 4, 3)
    assert not sequence(QWEN_PROMPT, words, None, 4, 3).ids.is_inference()


def test_folder_without_tokenizer_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no tokenizer\.json.*hf download"):
        QwenTokens.load(tiny_config(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"is not a tokenizer.*hf download"):
        QwenTokens.load(tiny_config(tmp_path))
