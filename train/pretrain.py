r"""Pre-trains the encoder that all objectives share.

    python -m train.pretrain --suite rlbench18
    python -m train.pretrain --suite rlbench18 --validation data/rlbench18_validation --steps 8000
    python -m train.pretrain --suite rlbench18 --encoder runs/train/rlbench18_encoder/encoder.safetensors --part all \
        --hard 0.5 --learning-rate 5e-4 --steps 2500
    python -m train.pretrain --suite rlbench18 --encoder runs/train/rlbench18_encoder/encoder.safetensors --steps 6000

No objective takes part: the encoder learns to find the next end-effector position in the views, where the cameras are
calibrated, and to tell actions apart (`model.pointer`, `model.probe`). With --encoder an earlier one is trained on: all
of it, with more of what it gets wrong, or cheaply its close look alone. The folder of the run gets
`encoder.safetensors`, for `train.run --encoder`, `metrics.jsonl` and `state.pt`. A run that was interrupted (Ctrl-C,
SIGTERM) goes on with the same command.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
import tyro

from envs.spec import InputError
from model.checkpoint import ENCODER, CheckpointFacts, load_encoder, save_checkpoint
from model.encoder import Encoder, EncoderConfig
from model.network import fresh_network
from model.probe import ActionProbe
from model.text import Vocabulary
from train.choice import CHOICES, ChoiceTrainer
from train.config import PretrainConfig
from train.console import run_command
from train.data import TrainingData, check_crop, prepare
from train.demonstrations import Demonstrations, read_demonstrations
from train.facts import cameras_of, facts_of
from train.growth import grown, teach_names, with_more
from train.hard import hard_rows
from train.session import check, run_session
from train.trainers import EncoderTrainer


def pretrain(config: PretrainConfig, demos: Demonstrations) -> Path:
    """Pre-trains, or goes on with the run found in the folder.

    Args:
        config: Settings.
        demos: What to learn from.

    Returns:
        The path of the encoder's weights.

    Raises:
        InputError: The folder holds a run with other settings, the demonstrations do not fit, or moved views are asked
            for of cameras that are not calibrated.
        KeyboardInterrupt: On Ctrl-C or SIGTERM, after the state was saved.
    """
    check(config)
    if not 0 <= config.hard <= 1:
        raise InputError(f"--hard is a share from 0 to 1, got {config.hard:g}.")
    if config.hard and (config.encoder is None or config.part != "all"):
        raise InputError("--hard needs an encoder to start from, and trains all of it: add --encoder and --part all.")
    if config.overview is not None and config.overview < 0:
        raise InputError(f"--overview is a number of layers, got {config.overview}.")
    if (config.overview is not None or config.names) and config.encoder is not None and config.part != "all":
        raise InputError("--overview and --names add to all of an encoder: add --part all, or leave --encoder out.")
    torch.set_num_threads(config.threads)
    before = None if config.encoder is None else load_encoder(config.encoder)
    facts = facts_of(config, None, demos, None if before is None else before.facts)
    if not cameras_of(facts):
        _check_without_places(config, len(demos.training.cameras))
    facts = with_more(facts, config)
    choosing = before is not None and config.part == "choice"
    if choosing:
        facts = with_choices(facts)
    data = prepare(demos.training, True, 1, facts.normalizer, facts.vocabulary)
    check_crop(config.crop, data)
    watched = None if demos.held_out is None else prepare(demos.held_out, True, 1, facts.normalizer, facts.vocabulary)
    encoder = fresh_network(facts.network, config.seed).encoder
    assert isinstance(encoder, Encoder) and isinstance(facts.vocabulary, Vocabulary)
    teach_names(encoder, facts.vocabulary)
    if before is not None:
        encoder.load_state_dict(grown(encoder.state_dict(), before.weights))
        facts.training["encoder"] = before.sha256
    trainer: EncoderTrainer | ChoiceTrainer
    if choosing:
        trainer = ChoiceTrainer(config, encoder, data, facts.normalizer, facts.vocabulary)
        return _run(config, trainer, facts, watched)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        probe = ActionProbe(encoder.config.width, data.mask)
    hard = None
    if config.hard:
        precision = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
        hard = hard_rows(encoder, data, config.batch_size, config.device, precision)
    trainer = EncoderTrainer(config, encoder, probe, data, facts.normalizer, facts.vocabulary, hard)
    return _run(config, trainer, facts, watched)


def _check_without_places(config: PretrainConfig, views: int) -> None:
    """Where the cameras are not calibrated the encoder learns to tell actions apart, and nothing else."""
    if not views:
        raise InputError(f"{config.suite} has no cameras, so no encoder to pre-train: train the policy at once.")
    missing = f"the cameras of {config.suite} are not calibrated, so the encoder finds no places"
    if config.warp:
        raise InputError(f"{missing}, and what moved views should show is unknown: add --warp 0.")
    if config.hard or (config.encoder is not None and config.part != "all"):
        raise InputError(f"{missing}: train all of it (--part all), without --hard.")


def with_choices(facts: CheckpointFacts) -> CheckpointFacts:
    """Facts of the same encoder, with a choice among places."""
    encoder = facts.network.encoder
    assert isinstance(encoder, EncoderConfig)
    return replace(facts, network=replace(facts.network, encoder=replace(encoder, choices=CHOICES)))


def _run(
    config: PretrainConfig,
    trainer: EncoderTrainer | ChoiceTrainer,
    facts: CheckpointFacts,
    watched: TrainingData | None,
) -> Path:
    """Trains, and keeps the encoder's averaged weights."""
    path = config.folder / "encoder.safetensors"

    def keep() -> None:
        facts.training["step"] = trainer.step
        weights = trainer.ema["encoder"].state_dict()  # type: ignore[index]
        save_checkpoint(path, facts, {f"{ENCODER}.{name}": tensor for name, tensor in weights.items()})

    run_session(trainer, keep, watched)
    return path


def main(args: list[str] | None = None) -> int:
    """Command line. Returns the exit code; see `run_command`."""
    config = tyro.cli(PretrainConfig, args=args, description=__doc__, prog="python -m train.pretrain")

    def run() -> str:
        path = pretrain(config, read_demonstrations(config))
        again = f"python -m train.run --suite {config.suite} --encoder {path} --objective drifting"
        return f"encoder: {path}\ntrain over it: {again}"

    return run_command(config, run)


if __name__ == "__main__":
    sys.exit(main())
