import builtins
import copy
import importlib.util
import json
import shutil

import pytest
import torch
from test_qwen import observations
from tiny_qwen import tiny_config, write_tiny_qwen

from envs.spec import InputError
from model.qwen.config import QwenConfig
from model.qwen.encoder import QwenEncoder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_tiny_qwen(tmp_path_factory.mktemp("qwen"))


@pytest.fixture
def folder(whole, tmp_path):
    """A model folder to spoil."""
    return shutil.copytree(whole, tmp_path / "model")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """A hub cache without network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": "xformers"}, "sdpa, flash_attention_2, eager"),
        ({"dtype": "int8"}, "bfloat16, float32"),
        ({"image_size": 450}, "not a multiple of 32"),
        ({"image_size": 0}, "not a multiple of 32"),
        ({"max_words": 0}, "at least 1 word"),
        ({"lora_rank": -1}, "a rank of 0 or more"),
        ({"lora_layers": 0}, "at least 1 layer"),
    ],
)
def test_settings_that_make_no_sense(changes, message):
    with pytest.raises(InputError, match=message):
        QwenConfig(**changes)


def test_hub_name_without_network_or_cache(offline):
    with pytest.raises(InputError) as caught:
        QwenEncoder.load(QwenConfig(model="nobody/no-such-model", revision="v2"))
    assert "hf download nobody/no-such-model --revision v2 --local-dir FOLDER" in str(caught.value)
    assert "give FOLDER" in str(caught.value)


def test_hub_name_from_the_cache(offline, folder):
    place = offline / "models--somebody--tiny"
    (place / "refs").mkdir(parents=True)
    (place / "refs/main").write_text("0" * 40)
    shutil.copytree(folder, place / "snapshots" / ("0" * 40))
    encoder = QwenEncoder.load(tiny_config("somebody/tiny"))
    assert encoder(observations(encoder)).tokens.isfinite().all()


@pytest.mark.parametrize("model", ["/no/such/folder", "./none", "a/b/c", "", "justaname"])
def test_no_such_folder(model, offline):
    with pytest.raises(InputError, match=r"there is no model folder .*hf download"):
        QwenEncoder.load(QwenConfig(model=model))


def test_folder_without_configuration(folder):
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"no config\.json.*hf download"):
        QwenEncoder.load(tiny_config(folder))
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        QwenEncoder.load(tiny_config(folder))


def test_folder_without_weights(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no weights \(\*\.safetensors\).*hf download"):
        QwenEncoder.load(tiny_config(folder))


def test_model_of_another_type(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(InputError, match="type 'llama'; the backbone must be 'qwen3_vl'"):
        QwenEncoder.load(tiny_config(folder))


def test_damaged_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"cannot be loaded \(.*hf download"):
        QwenEncoder.load(tiny_config(folder))


def test_weights_of_another_size(folder):
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 64
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="cannot be loaded"):
        QwenEncoder.load(tiny_config(folder))


def test_missing_weights_are_not_made_up(folder):
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 7
    config["text_config"].pop("layer_types", None)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"lack 11 weights of the model .*layers\.6"):
        QwenEncoder.load(tiny_config(folder))


def test_tokenizer_of_another_model(folder):
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    whole = json.dumps(tokenizer)
    path.write_text(whole.replace("<|image_pad|>", "<|audio_pad|>"))
    with pytest.raises(InputError, match=r"lacks <\|image_pad\|>"):
        QwenEncoder.load(tiny_config(folder))
    path.write_text(whole)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"image_token_id": 7}))
    with pytest.raises(InputError, match="do not belong together"):
        QwenEncoder.load(tiny_config(folder))


def test_flash_attention_is_checked_before_anything_is_read(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "flash_attn" else find(name))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"flash-attn and a CUDA device.*pip install flash-attn.*'sdpa'"):
        QwenEncoder.load(QwenConfig(model="/no/such/folder", attention="flash_attention_2"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(InputError, match="cannot compute in float32"):
        QwenEncoder.load(QwenConfig(model="/no/such/folder", attention="flash_attention_2", dtype="float32"))


def test_compile_without_compiler(monkeypatch, whole):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"no 'no-such-compiler'.*apt-get install g\+\+.*CXX"):
        QwenEncoder.load(tiny_config(whole, compile=True))


def test_compile_that_fails_says_so(whole, monkeypatch):
    monkeypatch.setenv("CXX", "python3")  # is there, but compiles nothing
    encoder = QwenEncoder.load(tiny_config(whole, compile=True))

    def broken(graph, inputs):
        raise OSError("no room for the kernels")

    encoder.backbone.visual.compile(backend=broken)
    with pytest.raises(InputError, match=r"torch\.compile fails on the backbone .*Leave compile off"):
        encoder(observations(encoder))


def test_compiled_modules_give_the_same(whole, monkeypatch):
    monkeypatch.setenv("CXX", "python3")
    encoder = QwenEncoder.load(tiny_config(whole, compile=True))
    assert copy.deepcopy(encoder).backbone.visual._compiled_call_impl is not None
    for module in (encoder.backbone.visual, encoder.backbone.language_model):
        assert module._compiled_call_impl is not None
        module.compile(backend="eager")  # traced like any compilation, without the minutes of making kernels
    plain = QwenEncoder.load(tiny_config(whole))
    batch = observations(plain)
    torch.testing.assert_close(encoder(batch).tokens, plain(batch).tokens, rtol=0, atol=1e-5)


def test_without_the_packages(monkeypatch, whole):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "peft":
            raise ImportError("No module named 'peft'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"not installed \(No module named 'peft'\).*pip install -e \.\[qwen\]"):
        QwenEncoder.load(tiny_config(whole))
