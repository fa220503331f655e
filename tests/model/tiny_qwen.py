"""A Qwen3-VL model small enough for tests, with a byte-level tokenizer made in code.

Importing this skips the tests that do so where the packages of the backbone are not installed.
"""

from pathlib import Path

import pytest
import torch

from model.qwen.encoder import QwenConfig

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("peft")

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
SENTENCES = ("open the drawer", "close the red jar", "put the cube on the shelf", "user assistant")


def write_tokenizer(folder: Path) -> dict[str, int]:
    """Writes tokenizer.json; returns the numbers of the control tokens."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_special_tokens(list(CONTROL))  # after the words, as in Qwen's own
    tokenizer.save(str(folder / "tokenizer.json"))
    return {name: tokenizer.token_to_id(name) for name in CONTROL}


def tiny_sizes(control: dict[str, int]) -> dict:
    """Entries of a `Qwen3VLConfig`: two language layers more than LoRA touches, deepstack as in the real model."""
    return {
        "text_config": {
            "vocab_size": 384,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5_000_000,
                "mrope_section": [4, 2, 2],
                "mrope_interleaved": True,
            },
            "tie_word_embeddings": True,
        },
        "vision_config": {
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        "tie_word_embeddings": True,
        "image_token_id": control["<|image_pad|>"],
        "video_token_id": control["<|endoftext|>"],
        "vision_start_token_id": control["<|vision_start|>"],
        "vision_end_token_id": control["<|vision_end|>"],
    }


def write_tiny_qwen(folder: Path, seed: int = 0) -> Path:
    """Writes a model folder as published: configuration, weights of model and head, tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = transformers.Qwen3VLConfig(**tiny_sizes(write_tokenizer(folder)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.Qwen3VLForConditionalGeneration(sizes)
        with torch.no_grad():  # initial weights are so small that layers hardly matter
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(5)
    model.save_pretrained(folder)
    return folder


def tiny_config(folder: Path, **changes) -> QwenConfig:
    """Settings for it: small views, float32."""
    return QwenConfig(**{"model": str(folder), "image_size": 64, "dtype": "float32", "max_words": 12} | changes)
