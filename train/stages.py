"""The stages in which `base` is trained: over a frozen backbone first, then with LoRA at learning rates of its own."""

from dataclasses import dataclass
from typing import Literal

from envs.spec import InputError
from model.qwen.config import QwenConfig
from model.qwen.encoder import LORA_RANK


@dataclass(frozen=True)
class BackboneConfig:
    """The pretrained backbone of `--size base`, and when it is trained.

    Attributes:
        model: Folder with the model's files, or its name on the Hugging Face hub.
        revision: Branch, tag or commit on the hub.
        image_size: Height and width that every view is resized to, pixels; a multiple of 32.
        attention: "sdpa", "eager", or "flash_attention_2" (CUDA and the package flash-attn).
        dtype: Of the frozen weights.
        compile: Use torch.compile.
        gradient_checkpointing: Less memory for more time in the LoRA stages.
        cache: Keep the frozen backbone's features of every observation in memory, where they fit.
        frozen_steps: Steps with the backbone frozen.
        lora_steps: Step at which LoRA goes over to its second learning rate.
        lora_rate: LoRA's learning rate at first.
        late_lora_rate: Its second one.
    """

    model: str = "Qwen/Qwen3-VL-2B-Instruct"
    revision: str = "main"
    image_size: int = 448
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    compile: bool = False
    gradient_checkpointing: bool = False
    cache: bool = True
    frozen_steps: int = 5_000
    lora_steps: int = 50_000
    lora_rate: float = 1e-5
    late_lora_rate: float = 5e-6

    def __post_init__(self) -> None:
        if not 0 <= self.frozen_steps <= self.lora_steps:
            raise InputError(
                f"the backbone's stages end at steps {self.frozen_steps} and {self.lora_steps}: the second must not "
                "come before the first."
            )

    def encoder(self) -> QwenConfig:
        """Settings of the encoder. It has LoRA weights in every stage: while frozen they change nothing."""
        return QwenConfig(
            model=self.model,
            revision=self.revision,
            image_size=self.image_size,
            attention=self.attention,
            dtype=self.dtype,
            compile=self.compile,
            gradient_checkpointing=self.gradient_checkpointing,
            lora_rank=LORA_RANK,
        )

    def stage(self, step: int) -> str:
        """What is trained of the backbone at a step: "frozen" or "lora"."""
        return "frozen" if step < self.frozen_steps else "lora"

    def rate(self, step: int) -> float:
        """LoRA's learning rate at a step."""
        return self.lora_rate if step < self.lora_steps else self.late_lora_rate
