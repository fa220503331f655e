"""The pretrained observation encoder: Qwen3-VL reads all RGB views and the instruction together.

Shapes: B observations, V views, S image size as given, L tokens, H the backbone's hidden size.

The last hidden states are the context tokens; the language-model head is never built. The backbone is frozen, but for
LoRA weights in the later stages of training (`set_stage`). Its weights come from the model's own files: the encoder's
`state_dict` holds LoRA weights alone, and copies of the encoder share the frozen weights.
"""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from torch import Tensor, nn

from envs.spec import InputError
from model.observation import EncoderOutput, ObservationBatch
from model.qwen.config import CELL, DTYPES, QwenConfig, check_machine
from model.qwen.files import model_folder, packages, read_config, remedy
from model.qwen.input import Sequence, patches, sequence
from model.qwen.lora import MARK, add_lora, lora_parameters, merge_lora
from model.qwen.tokens import QWEN_PROMPT, Prompt, QwenTokens

STAGES = ("frozen", "lora")
LORA_RANK = 16  # of a LoRA stage whose settings name none


class QwenFeatures(NamedTuple):
    """What `QwenEncoder.look` sees; of a frozen backbone it can be kept.

    Attributes:
        tokens: Last hidden states, in the backbone's dtype; zero on padding.
        mask: False on padding, which is on the right.
    """

    tokens: Float[Tensor, "B L H"]
    mask: Bool[Tensor, "B L"]


class QwenEncoder(nn.Module):
    """Observations to context tokens; see the head of this file. Build one with `load` or `from_config`.

    Args:
        backbone: A `transformers.Qwen3VLModel`.
        config: The settings.
        prompt: Token numbers around views and instruction.
    """

    def __init__(self, backbone: Any, config: QwenConfig, prompt: Prompt) -> None:
        super().__init__()
        self.config = config
        self.prompt = prompt
        self.stage = "frozen"
        self.backbone = backbone.requires_grad_(False)
        vision = self.backbone.config.vision_config
        if vision.patch_size * vision.spatial_merge_size != CELL:
            raise InputError(
                f"this backbone's visual tokens cover {vision.patch_size * vision.spatial_merge_size} pixels a side, "
                f"those of Qwen3-VL {CELL}. Give a Qwen3-VL model."
            )
        if config.lora_rank:
            add_lora(backbone, config.lora_rank, config.lora_alpha, config.lora_layers)
        if config.gradient_checkpointing:
            language = self.backbone.language_model
            language.activation_checkpointing_enable({"use_reentrant": False})
            language.disable_input_require_grads()  # or gradients would go down through all the frozen layers
        self._compile()
        self.register_state_dict_post_hook(_keep_lora)
        self.register_load_state_dict_post_hook(_expect_lora)

    @classmethod
    def load(cls, config: QwenConfig) -> "QwenEncoder":
        """The encoder with pretrained weights, frozen; on the CPU.

        Raises:
            InputError: The machine lacks what the settings need, the packages are not installed, the model's files
                are not there and cannot be downloaded, or are not those of a Qwen3-VL model.
        """
        check_machine(config)
        transformers, _ = packages()
        folder = model_folder(config.model, config.revision)
        described = read_config(folder)
        tokens = QwenTokens(str(folder), config.revision, config.max_words)
        prompt = tokens.prompt()
        promised = [described.get(f"{name}_token_id") for name in ("vision_start", "image", "vision_end")]
        if promised != [prompt.view_start, prompt.view, prompt.view_end]:
            raise InputError(
                f"tokenizer.json and config.json of {folder} do not belong together: their numbers of the control "
                f"tokens differ. {remedy(config.model, config.revision)}"
            )
        return cls(_pretrained(transformers, folder, config), config, prompt)

    @classmethod
    def from_config(
        cls, sizes: Any, config: QwenConfig, prompt: Prompt = QWEN_PROMPT, device: str = "cpu"
    ) -> "QwenEncoder":
        """The encoder with random weights: for timing and tests.

        Args:
            sizes: A `transformers.Qwen3VLConfig`, or its entries such as `QWEN3_VL_2B`.
            config: The settings; `model` and `revision` are not read.
            prompt: Token numbers around views and instruction.
            device: Where the weights are made; "meta" makes none.

        Raises:
            InputError: The machine lacks what the settings need, or the packages are not installed.
        """
        check_machine(config)
        transformers, _ = packages()
        sizes = transformers.Qwen3VLConfig(**deepcopy(sizes)) if isinstance(sizes, dict) else sizes
        with torch.device(device):
            backbone = transformers.AutoModel.from_config(
                sizes, attn_implementation=config.attention, dtype=DTYPES[config.dtype]
            )
            return cls(backbone.eval(), config, prompt)

    @property
    def width(self) -> int:
        """Size of the context tokens."""
        return int(self.backbone.config.text_config.hidden_size)

    def forward(
        self, batch: ObservationBatch, goal: Tensor | None = None, rng: torch.Generator | None = None
    ) -> EncoderOutput:
        """Encodes a batch; `goal` and `rng`, which the small encoder takes in training, are not read."""
        return self.focus(batch, self.look(batch), goal, rng)

    def focus(
        self,
        batch: ObservationBatch,
        features: QwenFeatures,
        goal: Tensor | None = None,
        rng: torch.Generator | None = None,
    ) -> EncoderOutput:
        """The features as they are: nothing here depends on anything but `look`."""
        return EncoderOutput(features.tokens, features.mask)

    def look(self, batch: ObservationBatch) -> QwenFeatures:
        """Runs the backbone.

        Args:
            batch: The observations, with `words` from `QwenTokens.encode`. Views that are not real take no token.

        Raises:
            InputError: `torch.compile` fails.
        """
        text = self.sequence(batch)
        images = batch.images.flatten(0, 1) if batch.views is None else batch.images[batch.views]
        try:
            with torch.set_grad_enabled(self.stage == "lora" and torch.is_grad_enabled()):
                hidden = self._hidden(text, images)
        except RuntimeError as error:
            if self.config.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise InputError(f"torch.compile fails on the backbone ({reason}). Leave compile off.") from error
            raise
        return QwenFeatures(hidden.masked_fill(~text.mask[..., None], 0), text.mask)

    def sequence(self, batch: ObservationBatch) -> Sequence:
        """The token sequences of a batch."""
        return sequence(self.prompt, batch.words, batch.views, batch.images.shape[1], self.config.image_size // CELL)

    def _hidden(self, text: Sequence, images: Tensor) -> Float[Tensor, "B L H"]:
        vision = self.backbone.config.vision_config
        encoded = {}
        if len(images):
            pixels = patches(
                images,
                self.config.image_size,
                vision.patch_size,
                vision.spatial_merge_size,
                vision.temporal_patch_size,
            )
            side = self.config.image_size // vision.patch_size
            grid = torch.tensor([[1, side, side]], device=images.device).expand(len(images), -1)
            ends = {}
            if self.config.attention != "flash_attention_2":  # which reads them on the device
                # Every layer reads where views end on the host: kept there, no layer waits for the device.
                ends["cu_seqlens"] = torch.arange(len(images) + 1, dtype=torch.int32, device="cpu") * side**2
            with torch.no_grad():  # no LoRA in the vision tower
                encoded["image"] = self.backbone.get_image_features(pixels, grid, return_dict=True, **ends)
        output = self.backbone(
            input_ids=text.ids,
            attention_mask=text.mask,
            position_ids=text.positions,
            mm_token_type_ids=text.visual.int(),
            mm_encoder_outputs=encoded,
            use_cache=False,
        )
        return output.last_hidden_state

    def __deepcopy__(self, memo: dict[int, Any]) -> "QwenEncoder":
        """A copy with LoRA weights of its own; the frozen weights are shared, at gigabytes apiece."""
        memo.update({id(p): p for name, p in self.named_parameters() if MARK not in name})
        copy = self.__class__.__new__(self.__class__)
        memo[id(self)] = copy
        copy.__dict__ = deepcopy(self.__dict__, memo)
        copy._compile()
        return copy

    def _compile(self) -> None:
        if self.config.compile:
            self.backbone.visual.compile()
            self.backbone.language_model.compile()


def set_stage(encoder: QwenEncoder, stage: str) -> list[nn.Parameter]:
    """Chooses what of an encoder is trained.

    Args:
        encoder: The encoder; gets LoRA weights (of rank 16 where its settings name none) if the stage needs them.
            With them from the start, its `state_dict` has the same entries in every stage.
        stage: "frozen" or "lora".

    Returns:
        The parameters to train; empty when frozen.

    Raises:
        InputError: There is no such stage.
    """
    if stage not in STAGES:
        raise InputError(f"the backbone has no training stage {stage!r}. Choose one of {', '.join(STAGES)}.")
    if stage == "lora" and not encoder.config.lora_rank:
        encoder.config = replace(encoder.config, lora_rank=LORA_RANK)
        add_lora(encoder.backbone, LORA_RANK, encoder.config.lora_alpha, encoder.config.lora_layers)
    encoder.stage = stage
    encoder.requires_grad_(False)
    adapted = [parameter for _, parameter in lora_parameters(encoder)]
    for parameter in adapted:
        parameter.requires_grad_(stage == "lora")
    return adapted if stage == "lora" else []


def merge(encoder: QwenEncoder) -> None:
    """Adds the LoRA weights to the frozen ones, for inference. There is nothing left to train or to save then."""
    merge_lora(encoder.backbone)
    encoder.config = replace(encoder.config, lora_rank=0)
    encoder.stage = "frozen"


def _pretrained(transformers: Any, folder: Path, config: QwenConfig) -> nn.Module:
    try:
        backbone, report = transformers.Qwen3VLModel.from_pretrained(
            folder,
            dtype=DTYPES[config.dtype],
            attn_implementation=config.attention,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"the weights in {folder} cannot be loaded ({reason}). {remedy(config.model, config.revision)}"
        ) from error
    if report["missing_keys"]:
        some = ", ".join(sorted(report["missing_keys"])[:3])
        raise InputError(
            f"the files in {folder} lack {len(report['missing_keys'])} weights of the model ({some}, ...). "
            f"{remedy(config.model, config.revision)}"
        )
    return backbone.eval()


def _keep_lora(module: nn.Module, state: dict[str, Any], prefix: str, _: dict[str, Any]) -> None:
    """Leaves the backbone's own weights out of a `state_dict`."""
    for name in [name for name in state if name.startswith(f"{prefix}backbone.") and MARK not in name]:
        del state[name]


def _expect_lora(module: nn.Module, incompatible: Any) -> None:
    """Does not miss the backbone's own weights in a `state_dict`."""
    own = {name for name, _ in module.named_parameters() if MARK not in name}
    incompatible.missing_keys[:] = [
        key for key in incompatible.missing_keys if not any(key == name or key.endswith(f".{name}") for name in own)
    ]
