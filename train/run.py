"""Trains a policy from demonstrations.

    python -m train.run --suite rlbench18
    python -m train.run --suite rlbench18 --encoder runs/train/rlbench18_encoder/encoder.safetensors --objective flow
    python -m train.run --suite rlbench18 --objective mse --steps 2000
    python -m train.run --suite rlbench18 --data data/rlbench18 --validation data/rlbench18_val --out runs/train/mine
    python -m train.run --suite rlbench18 --options samples=16 per_condition_scale=True
    python -m train.run --suite rlbench18 --rollout-every 1000 --rollout-episodes 5
    python -m train.run --suite rlbench18 --size base --device cuda --steps 100000 --learning-rate 4e-4
    python -m train.run --suite rlbench18 --mapping my_dataset.yaml --data user/dataset
    torchrun --nproc-per-node 8 -m train.run --suite rlbench18 --size base --device cuda

The folder of the run gets `checkpoint.safetensors` (averaged weights, for `envs.run`), `metrics.jsonl`, the same for
TensorBoard in `tensorboard/`, the records of `--rollout-every` in `rollouts/`, and `state.pt`. A run that was
interrupted (Ctrl-C, SIGTERM) goes on with the same command.
"""

import ast
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import tyro

from envs.spec import InputError
from model.checkpoint import load_encoder, save_checkpoint
from model.network import fresh_network
from model.objectives import Objective, load_objective
from train.config import TrainConfig
from train.console import run_command
from train.data import check_crop, prepare
from train.demonstrations import Demonstrations, read_demonstrations
from train.facts import cameras_of, facts_of
from train.rollout import Rollouts
from train.session import check, run_session
from train.trainers import PolicyTrainer


def objective_of(config: TrainConfig) -> Objective:
    """The objective with the settings of `--options`.

    Raises:
        InputError: Unknown objective or setting.
    """
    options: dict[str, Any] = {}
    for entry in config.options:
        name, separator, value = entry.partition("=")
        if not separator:
            raise InputError(f"--options takes name=value, got {entry!r}.")
        options[name] = value
        with suppress(ValueError, SyntaxError):
            options[name] = ast.literal_eval(value)
    try:
        return load_objective(config.objective, **options)
    except TypeError as error:
        raise InputError(f"--options does not fit objective {config.objective!r}: {error}.") from error


def train(config: TrainConfig, demos: Demonstrations) -> Path:
    """Trains, or goes on with the run found in the folder.

    Args:
        config: Settings.
        demos: What to learn from.

    Returns:
        The checkpoint's path.

    Raises:
        InputError: The folder holds a run with other settings, or the demonstrations or the encoder do not fit.
        KeyboardInterrupt: On Ctrl-C or SIGTERM, after the state was saved.
    """
    check(config)
    if config.encoder is not None and config.size == "base":
        raise InputError("--encoder is for --size small: the backbone of base is pretrained already. Leave it out.")
    torch.set_num_threads(config.threads)
    objective = objective_of(config)
    pretrained = None if config.encoder is None else load_encoder(config.encoder)
    facts = facts_of(config, objective, demos, None if pretrained is None else pretrained.facts)
    calibrated = bool(cameras_of(facts))
    if not demos.training.cameras:
        print("these demonstrations have no views: training on state and instruction alone", flush=True)
    elif not calibrated and config.size == "small":
        print(f"the cameras of {config.suite} are not calibrated: training without the pointer", flush=True)
    data = prepare(demos.training, calibrated, config.horizon, facts.normalizer, facts.vocabulary)
    cached = config.encoder is not None or (config.size == "base" and config.backbone.cache)
    check_crop(config.crop, data, cached)
    watched = None
    if demos.held_out is not None:
        watched = prepare(demos.held_out, calibrated, config.horizon, facts.normalizer, facts.vocabulary)
    network = fresh_network(facts.network, config.seed)
    if pretrained is not None:
        network.encoder.load_state_dict(pretrained.weights)
        facts.training["encoder"] = pretrained.sha256
    trainer = PolicyTrainer(config, network, objective, data, facts.normalizer, frozen=pretrained is not None)
    path = config.folder / "checkpoint.safetensors"

    def keep() -> None:
        facts.training["step"] = trainer.step
        save_checkpoint(path, facts, trainer.ema.state_dict())

    rollouts = Rollouts(config, path, trainer.device) if config.rollout_every else None
    run_session(trainer, keep, watched, rollouts)
    return path


def main(args: list[str] | None = None) -> int:
    """Command line. Returns the exit code; see `run_command`."""
    config = tyro.cli(TrainConfig, args=args, description=__doc__, prog="python -m train.run")

    def run() -> str:
        objective_of(config)
        path = train(config, read_demonstrations(config))
        again = f"python -m envs.run --suite {config.suite} --policy {config.objective} --checkpoint {path}"
        return f"checkpoint: {path}\nevaluate it: {again}"

    return run_command(config, run)


if __name__ == "__main__":
    sys.exit(main())
