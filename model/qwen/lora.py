"""LoRA on the last language layers of a Qwen3-VL backbone, through peft.

The matrices are float32 whatever the backbone's dtype: at learning rates around 1e-5 bfloat16 would round their
updates away.
"""

from collections.abc import Iterator

import torch
from torch import nn

from envs.spec import InputError
from model.qwen.files import packages

TARGETS = ("q_proj", "v_proj")
MARK = ".lora_"  # in the name of every LoRA parameter and of nothing else


def add_lora(backbone: nn.Module, rank: int, alpha: float, layers: int, seed: int = 0) -> None:
    """Adds LoRA matrices to the query and value projections of the last language layers. At first they change nothing.

    Args:
        backbone: A `transformers.Qwen3VLModel`; changed in place.
        rank: Of the matrices.
        alpha: Scale times rank.
        layers: Number of language layers.
        seed: Of the initial weights.

    Raises:
        InputError: The backbone has LoRA already, or fewer layers.
    """
    _, peft = packages()
    depth = len(backbone.language_model.layers)  # type: ignore[union-attr, arg-type]
    if has_lora(backbone):
        raise InputError("the backbone has LoRA weights already. Merge them first, or load the backbone again.")
    if layers > depth:
        raise InputError(f"LoRA on the last {layers} language layers: the backbone has {depth}. Choose fewer.")
    settings = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules=list(TARGETS),
        layers_to_transform=list(range(depth - layers, depth)),
        layers_pattern="layers",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(settings, backbone)
    backbone.requires_grad_(False)
    for _, parameter in lora_parameters(backbone):
        parameter.data = parameter.data.float()


def has_lora(module: nn.Module) -> bool:
    """Whether there are LoRA weights."""
    return next(lora_parameters(module), None) is not None


def lora_parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and LoRA parameters."""
    return ((name, parameter) for name, parameter in module.named_parameters() if MARK in name)


def merge_lora(backbone: nn.Module) -> None:
    """Adds the LoRA matrices to the weights they adapt and removes them: for inference, a little faster.

    Copies of the backbone that share its frozen weights are left as they are.
    """
    _, peft = packages()
    for name, module in list(backbone.named_modules()):
        if isinstance(module, peft.tuners.lora.LoraLayer):
            base = module.get_base_layer()
            base.weight = nn.Parameter(base.weight.detach().clone(), requires_grad=False)
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(backbone.get_submodule(parent), child, base)
