import copy

import pytest
import torch
from test_qwen import observations
from tiny_qwen import tiny_config, write_tiny_qwen

from envs.spec import InputError
from model.qwen.config import QWEN3_VL_2B, QwenConfig
from model.qwen.encoder import QwenEncoder, merge, set_stage
from model.qwen.lora import add_lora, lora_parameters


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_qwen(tmp_path_factory.mktemp("qwen"))


def adapted(folder, **changes):
    encoder = QwenEncoder.load(tiny_config(folder, lora_rank=4, lora_alpha=8.0, **changes))
    return encoder, observations(encoder)


def train(encoder, batch, steps=2):
    """A few steps towards smaller outputs."""
    optimizer = torch.optim.AdamW(set_stage(encoder, "lora"), lr=1e-2, weight_decay=0.0)
    for _ in range(steps):
        loss = encoder(batch).tokens.float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def base_weights(encoder):
    return {name: p.detach().clone() for name, p in encoder.named_parameters() if ".lora_" not in name}


def test_published_sizes():
    encoder = QwenEncoder.from_config(QWEN3_VL_2B, QwenConfig(lora_rank=16), device="meta")
    trained = set_stage(encoder, "lora")
    assert (len(trained), sum(parameter.numel() for parameter in trained)) == (16, 458_752)
    assert sum(p.numel() for p in encoder.parameters() if p.requires_grad) == 458_752
    names = [name for name, _ in lora_parameters(encoder)]
    assert {name.split(".")[3] for name in names} == {"24", "25", "26", "27"}
    assert {name.split(".")[5] for name in names} == {"q_proj", "v_proj"}
    assert sum(p.numel() for p in encoder.parameters()) == 2_127_532_032 + 458_752


def test_lora_at_first_changes_nothing(folder):
    encoder, batch = adapted(folder)
    plain = QwenEncoder.load(tiny_config(folder))
    torch.testing.assert_close(encoder(batch).tokens, plain(batch).tokens, rtol=0, atol=0)


def test_training_changes_outputs_and_lora_alone(folder):
    encoder, batch = adapted(folder)
    before, weights = encoder(batch).tokens, base_weights(encoder)
    train(encoder, batch)
    after = encoder(batch).tokens
    assert after.requires_grad
    assert after.square().mean() < before.square().mean()
    assert (after - before).abs().max() > 1e-3
    assert all(torch.equal(weight, weights[name]) for name, weight in base_weights(encoder).items())


def test_stages(folder):
    encoder = QwenEncoder.load(tiny_config(folder))
    batch = observations(encoder)
    assert set_stage(encoder, "frozen") == []
    assert not encoder(batch).tokens.requires_grad
    trained = set_stage(encoder, "lora")
    assert encoder.config.lora_rank == 16 and len(trained) == 16
    assert {id(p) for p in encoder.parameters() if p.requires_grad} == {id(p) for p in trained}
    assert encoder(batch).tokens.requires_grad
    with torch.no_grad():
        assert not encoder(batch).tokens.requires_grad
    assert set_stage(encoder, "frozen") == []
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not encoder(batch).tokens.requires_grad
    assert [id(p) for p in set_stage(encoder, "lora")] == [id(p) for p in trained]  # an optimiser goes on with them
    with pytest.raises(InputError, match=r"no training stage 'full'.*frozen, lora"):
        set_stage(encoder, "full")


def test_saved_and_loaded(folder):
    encoder, batch = adapted(folder)
    train(encoder, batch)
    state = encoder.state_dict()
    assert set(state) == {name for name, _ in lora_parameters(encoder)} and len(state) == 16
    fresh, _ = adapted(folder)
    assert (fresh(batch).tokens - encoder(batch).tokens).abs().max() > 1e-3
    fresh.load_state_dict(state)
    torch.testing.assert_close(fresh(batch).tokens, encoder(batch).tokens, rtol=0, atol=0)


def test_lora_that_does_not_fit_is_refused(folder):
    encoder, _ = adapted(folder)
    with pytest.raises(InputError, match="already"):
        add_lora(encoder.backbone, 4, 8.0, 4)
    with pytest.raises(InputError, match="has 6"):
        QwenEncoder.load(tiny_config(folder, lora_rank=2, lora_layers=7))


def test_merged(folder):
    encoder, batch = adapted(folder)
    train(encoder, batch)
    average = copy.deepcopy(encoder)
    before = encoder(batch).tokens.detach()
    merge(encoder)
    assert not list(lora_parameters(encoder)) and encoder.config.lora_rank == 0
    torch.testing.assert_close(encoder(batch).tokens, before, rtol=0, atol=1e-5)
    assert not encoder(batch).tokens.requires_grad
    torch.testing.assert_close(average(batch).tokens.detach(), before, rtol=0, atol=0)  # shared weights are untouched


def test_copies_have_lora_of_their_own(folder):
    encoder, batch = adapted(folder)
    average = copy.deepcopy(encoder)
    before = average(batch).tokens
    train(encoder, batch)
    assert torch.equal(average(batch).tokens, before)
    assert not torch.equal(encoder(batch).tokens, before)
    average.load_state_dict(encoder.state_dict())
    assert torch.equal(average(batch).tokens, encoder(batch).tokens)


def test_lora_is_float32_beside_bfloat16_weights(folder):
    encoder, batch = adapted(folder, dtype="bfloat16")
    assert {p.dtype for _, p in lora_parameters(encoder)} == {torch.float32}
    train(encoder, batch)
    assert encoder(batch).tokens.dtype == torch.bfloat16
    assert all(p.grad is not None for _, p in lora_parameters(encoder))


def test_initial_weights_depend_on_the_seed_alone(folder):
    first, _ = adapted(folder)
    torch.rand(1)
    second, _ = adapted(folder)
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_gradient_checkpointing_gives_the_same_gradients(folder):
    gradients, saved, below = [], [], []
    for checkpointing in (False, True):
        encoder, batch = adapted(folder, gradient_checkpointing=checkpointing)
        train(encoder, batch, steps=1)  # leaves B different from zero, so that A has a gradient
        encoder.train()
        encoder.zero_grad()
        # Nothing has to be kept of the layers below the first one with LoRA.
        first = encoder.backbone.language_model.layers[2]
        first.register_forward_pre_hook(lambda _, given: below.append(given[0].requires_grad))
        held = 0

        def hold(tensor):
            nonlocal held
            held += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
            loss = encoder(batch).tokens.square().mean()
        saved.append(held)
        loss.backward()
        gradients.append([p.grad.clone() for _, p in lora_parameters(encoder)])
    assert saved[1] < saved[0]
    assert set(below) == {False}
    for plain, checkpointed in zip(*gradients, strict=True):
        assert plain.abs().max() > 0
        torch.testing.assert_close(plain, checkpointed, rtol=1e-5, atol=1e-8)
