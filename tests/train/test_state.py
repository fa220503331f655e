"""Policies without cameras, from demonstrations to an evaluation."""

import pytest
import torch
import yaml

from envs.run import main as evaluate
from envs.spec import InputError
from envs.suite import SUITES_DIR
from model.checkpoint import load_checkpoint
from model.encoder import EncoderConfig
from model.network import make_encoder
from model.observation import ObservationBatch
from model.state_encoder import StateEncoder
from results.records import read_run
from train.config import PretrainConfig, TrainConfig
from train.demonstrations import read_demonstrations
from train.demos import DemoConfig, collect
from train.lerobot.dataset import read_dataset
from train.memory import remember
from train.pretrain import pretrain
from train.run import main as train


@pytest.fixture
def blind(tmp_path):
    """The mock suite without its cameras."""
    path = tmp_path / "mock_state.yaml"
    suite = yaml.safe_load((SUITES_DIR / "mock.yaml").read_text()) | {"name": "mock_state", "cameras": []}
    path.write_text(yaml.safe_dump(suite))
    return path


def test_a_suite_without_cameras_is_demonstrated_learned_and_evaluated(blind, tmp_path):
    demos, run, record = tmp_path / "demos", tmp_path / "run", tmp_path / "record.jsonl"
    collect(DemoConfig(str(blind), per_task=3, out=demos))
    dataset = read_dataset(demos)
    assert (dataset.cameras, dataset.images.shape[1:]) == ((), (0, 0, 0, 3))
    few = ["--steps", "3", "--batch-size", "4", "--warmup", "1", "--precision", "float32", "--out", str(run)]
    assert train(["--suite", str(blind), "--objective", "mse", "--data", str(demos), *few]) == 0
    assert isinstance(load_checkpoint(run / "checkpoint.safetensors").network.encoder, StateEncoder)
    played = ["--suite", str(blind), "--policy", "mse", "--checkpoint", str(run / "checkpoint.safetensors")]
    assert evaluate([*played, "--episodes", "2", "--out", str(record)]) == 0
    assert [episode.outcome in ("success", "failure") for episode in read_run(record).episodes] == [True] * 4


def test_what_needs_views_says_so(blind, tmp_path):
    collect(DemoConfig(str(blind), per_task=1, out=tmp_path / "demos"))
    demos = read_demonstrations(TrainConfig(str(blind), data=tmp_path / "demos"))
    with pytest.raises(InputError, match="compares views"):
        remember(demos, 8, 1)
    with pytest.raises(InputError, match="no encoder to pre-train"):
        pretrain(PretrainConfig(str(blind), warp=0.0, precision="float32", out=tmp_path / "run"), demos)


def test_state_and_instruction_both_reach_the_tokens():
    torch.manual_seed(0)
    encoder = make_encoder(EncoderConfig(views=0, image_size=0, proprioception=5, vocabulary=9, max_words=4))
    assert isinstance(encoder, StateEncoder)
    state, words = torch.randn(3, 5), torch.tensor([[2, 3, 0, 0]] * 3)
    batch = ObservationBatch(torch.zeros(3, 0, 0, 0, 3, dtype=torch.uint8), state, words, torch.zeros(3, 7))
    output = encoder(batch)
    assert output.anchor is None and output.places is None
    assert output.mask.sum(1).tolist() == [output.tokens.shape[1] - 2] * 3  # all but the padding
    finer = encoder(batch._replace(proprioception=state + 0.001)).tokens
    other = encoder(batch._replace(words=torch.tensor([[4, 3, 0, 0]] * 3))).tokens
    assert (finer - output.tokens).abs().max() > 1e-4
    assert (other - output.tokens)[:, :8].abs().max() > 1e-3  # the state has read the words
