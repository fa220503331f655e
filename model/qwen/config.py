"""Settings of the Qwen3-VL backbone, and the published sizes of the 2B model."""

import importlib.util
import os
import shutil
from dataclasses import dataclass
from typing import Any

import torch

from envs.spec import InputError

ATTENTION = ("sdpa", "flash_attention_2", "eager")
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
CELL = 32  # pixels a visual token covers, a side: patches of 16, merged 2 x 2

# Qwen/Qwen3-VL-2B-Instruct as published, for `transformers.Qwen3VLConfig(**QWEN3_VL_2B)`: 2,127,532,032 parameters.
QWEN3_VL_2B: dict[str, Any] = {
    "text_config": {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 262144,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 5_000_000,
            "mrope_section": [24, 20, 20],
            "mrope_interleaved": True,
        },
        "tie_word_embeddings": True,
    },
    "vision_config": {
        "depth": 24,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_heads": 16,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": 2048,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": [5, 11, 17],
    },
    "tie_word_embeddings": True,
}


@dataclass(frozen=True)
class QwenConfig:
    """Settings of the backbone. Which weights it has is `model` and `revision`; checkpoints of ours never hold them.

    Attributes:
        model: Folder with the model's files, or its name on the Hugging Face hub.
        revision: Branch, tag or commit on the hub.
        image_size: Height and width that every view is resized to, pixels; a multiple of 32.
        attention: "sdpa", "eager", or "flash_attention_2" (CUDA and the package flash-attn).
        dtype: Of the frozen weights, "bfloat16" or "float32". LoRA weights are always float32.
        compile: Use `torch.compile`.
        max_words: Instruction tokens that are read; the rest is cut off.
        lora_rank: Rank of the LoRA matrices; 0 for none.
        lora_alpha: Their scale is `lora_alpha / lora_rank`.
        lora_layers: How many of the last language layers have them (on q_proj and v_proj).
        gradient_checkpointing: Compute the language layers' activations again in the backward pass instead of
            keeping them.
    """

    model: str = "Qwen/Qwen3-VL-2B-Instruct"
    revision: str = "main"
    image_size: int = 448
    attention: str = "sdpa"
    dtype: str = "bfloat16"
    compile: bool = False
    max_words: int = 48
    lora_rank: int = 0
    lora_alpha: float = 32.0
    lora_layers: int = 4
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        if self.attention not in ATTENTION:
            raise InputError(f"there is no attention {self.attention!r}. Choose one of {', '.join(ATTENTION)}.")
        if self.dtype not in DTYPES:
            raise InputError(f"the backbone has no dtype {self.dtype!r}. Choose one of {', '.join(DTYPES)}.")
        if self.image_size <= 0 or self.image_size % CELL:
            raise InputError(f"image_size {self.image_size} is not a multiple of {CELL}. Choose 448, for instance.")
        if self.max_words < 1 or self.lora_rank < 0 or self.lora_layers < 1:
            raise InputError(
                f"max_words {self.max_words}, lora_rank {self.lora_rank} and lora_layers {self.lora_layers} do not fit "
                "together. Give at least 1 word, a rank of 0 or more, and at least 1 layer."
            )


def check_machine(config: QwenConfig) -> None:
    """Checks that this machine has what the settings ask for, before gigabytes are read.

    Raises:
        InputError: FlashAttention without its package, without CUDA or in float32; `compile` without a compiler.
    """
    if config.attention == "flash_attention_2":
        missing = []
        if importlib.util.find_spec("flash_attn") is None:
            missing.append("the package flash-attn")
        if not torch.cuda.is_available():
            missing.append("a CUDA device")
        if missing:
            raise InputError(
                f"attention 'flash_attention_2' needs {' and '.join(missing)}. Install flash-attn on a machine with "
                "CUDA (`pip install flash-attn --no-build-isolation`), or use attention 'sdpa'."
            )
        if config.dtype != "bfloat16":
            raise InputError(
                f"attention 'flash_attention_2' cannot compute in {config.dtype}. Use dtype 'bfloat16', or 'sdpa'."
            )
    if config.compile:
        compiler = os.environ.get("CXX", "g++")
        if torch.cuda.is_available() and importlib.util.find_spec("triton") is None:
            raise InputError("compile needs the package triton on CUDA. `pip install triton`, or leave compile off.")
        if shutil.which(compiler) is None:
            raise InputError(
                f"compile needs a C++ compiler, and there is no {compiler!r}. `apt-get install g++`, name one in the "
                "environment variable CXX, or leave compile off."
            )
