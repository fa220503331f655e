"""Trains a policy from demonstrations.

    python -m train.run --suite rlbench18
    python -m train.run --suite rlbench18 --objective mse --steps 2000
    python -m train.run --suite rlbench18 --data data/rlbench18 --validation data/rlbench18_val --out runs/train/mine
    python -m train.run --suite rlbench18 --options samples=16 per_condition_scale=True

The folder of the run gets `checkpoint.safetensors` (averaged weights, for `envs.run`), `metrics.jsonl` and
`state.pt`. A run that was interrupted (Ctrl-C, SIGTERM) goes on with the same command.
"""

import ast
import json
import signal
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
import tyro

from envs.spec import InputError
from envs.suite import load_suite
from model.actions import KEYFRAME_EEF
from model.cameras import CameraModel
from model.checkpoint import CheckpointFacts, save_checkpoint
from model.encoder import EncoderConfig
from model.network import NetworkConfig, parameter_count
from model.normalize import Normalizer
from model.objectives import Objective, load_objective
from model.objectives.base import options_of
from model.text import Vocabulary
from model.trunk import TrunkConfig
from train.config import TrainConfig
from train.data import TrainingData, prepare
from train.lerobot_v3 import DemoDataset, read_dataset
from train.loop import Trainer, validate
from train.progress import TrainProgress

# May differ between a run and its resumption: they do not touch the weights.
_FREE = ("out", "data", "validation", "device", "threads", "log_every", "validate_every", "save_every")


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


def check(config: TrainConfig) -> None:
    """Raises InputError for settings that cannot be trained with."""
    if config.steps < 1 or config.batch_size < 1 or config.horizon < 1 or config.threads < 1:
        raise InputError("--steps, --batch-size, --horizon and --threads must be at least 1.")
    if not (0 < config.ema < 1 and config.learning_rate > 0 and config.clip > 0):
        raise InputError("--ema must lie between 0 and 1, --learning-rate and --clip above 0.")
    if min(config.log_every, config.validate_every, config.save_every) < 1:
        raise InputError("--log-every, --validate-every and --save-every must be at least 1.")


def calibration(config: TrainConfig, demos: DemoDataset) -> tuple[CameraModel, ...]:
    """The suite's calibration of the demonstrations' views; empty where a camera is not calibrated."""
    suite = load_suite(config.suite)
    known = {camera.name: camera for camera in suite.spec(next(iter(suite.tasks))).cameras}
    cameras = [known[name] for name in demos.cameras if name in known]
    models = tuple(CameraModel(c.fov, c.mount, c.position, c.quaternion) for c in cameras if c.fov is not None)
    return models if len(models) == len(demos.cameras) else ()


def facts_of(config: TrainConfig, objective: Objective, demos: DemoDataset) -> CheckpointFacts:
    """Measures the training set and fixes the sizes of the network."""
    vocabulary = Vocabulary.learn(demos.instructions)
    normalizer = Normalizer.fit(KEYFRAME_EEF.embodiment, demos.actions, demos.proprioception)
    encoder = EncoderConfig(
        views=len(demos.cameras),
        image_size=demos.images.shape[2],
        proprioception=len(demos.proprioception_names),
        vocabulary=len(vocabulary),
        max_words=vocabulary.max_words,
        cameras=calibration(config, demos),
    )
    trunk = TrunkConfig(
        context_dim=encoder.width,
        input_dim=objective.input_dim or TrunkConfig.input_dim,
        horizon=config.horizon,
        time_embedding=objective.time_embedding,
    )
    training = {
        "suite": config.suite,
        "seed": config.seed,
        "frames": len(demos.images),
        "episodes": len(np.unique(demos.episode_index)),
    }
    return CheckpointFacts(
        NetworkConfig(encoder, trunk),
        objective.name,
        options_of(objective),
        vocabulary,
        normalizer,
        demos.cameras,
        demos.proprioception_names,
        KEYFRAME_EEF,
        training,
    )


def train(config: TrainConfig, demos: DemoDataset, held_out: DemoDataset | None = None) -> Path:
    """Trains, or goes on with the run found in the folder.

    Args:
        config: Settings.
        demos: Training demonstrations.
        held_out: Validation demonstrations.

    Returns:
        The checkpoint's path.

    Raises:
        InputError: The folder holds a run with other settings, or the demonstrations do not fit.
        KeyboardInterrupt: On Ctrl-C or SIGTERM, after the state was saved.
    """
    check(config)
    torch.set_num_threads(config.threads)
    objective = objective_of(config)
    facts = facts_of(config, objective, demos)
    calibrated = bool(facts.network.encoder.cameras)
    if not calibrated:
        print(f"the cameras of {config.suite} are not calibrated: training without the pointer", flush=True)
    data = prepare(demos, calibrated, config.horizon, facts.normalizer, facts.vocabulary)
    watched = None
    if held_out is not None:
        watched = prepare(held_out, calibrated, config.horizon, facts.normalizer, facts.vocabulary)
    trainer = Trainer(config, facts.network, objective, data, facts.normalizer)
    folder = config.folder
    _take_up(folder, config, trainer)
    _run(trainer, folder, facts, watched)
    return folder / "checkpoint.safetensors"


def _take_up(folder: Path, config: TrainConfig, trainer: Trainer) -> None:
    settings = {k: v for k, v in json.loads(json.dumps(asdict(config), default=str)).items() if k not in _FREE}
    path, state = folder / "config.json", folder / "state.pt"
    if state.is_file():
        before = json.loads(path.read_text())
        for name in settings:
            if before.get(name) != settings[name]:
                raise InputError(
                    f"{folder} holds a run with {name} = {before.get(name)!r}, now it is {settings[name]!r}. Use the "
                    "same settings to resume it, or another --out."
                )
        trainer.load(state)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2) + "\n")


def _run(trainer: Trainer, folder: Path, facts: CheckpointFacts, watched: TrainingData | None) -> None:
    config = trainer.config
    stop: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.append(number)

    def save() -> None:
        trainer.save(folder / "state.pt")
        facts.training["step"] = trainer.step
        save_checkpoint(folder / "checkpoint.safetensors", facts, trainer.ema.state_dict())

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    sums: dict[str, list[float]] = defaultdict(list)
    log = folder / "metrics.jsonl"
    _forget_after(log, trainer.step)
    try:
        with TrainProgress(trainer.step, config.steps, parameter_count(trainer.network), len(trainer.data)) as progress:
            while trainer.step < config.steps and not stop:
                began = time.perf_counter()
                for name, value in trainer.train_step().items():
                    sums[name].append(value)
                sums["step_seconds"].append(time.perf_counter() - began)
                if trainer.step % config.log_every == 0 or trainer.step == config.steps:
                    entry = {name: float(np.mean(values)) for name, values in sums.items()}
                    sums.clear()
                    progress.metrics(trainer.step, entry)
                    _append(log, {"step": trainer.step, "kind": "train"} | entry)
                progress.advance(trainer.step)
                if watched is not None and (trainer.step % config.validate_every == 0 or trainer.step == config.steps):
                    errors = validate(trainer.ema, trainer.objective, watched, facts.normalizer, trainer)
                    progress.validation(trainer.step, errors)
                    _append(log, {"step": trainer.step, "kind": "validation"} | errors)
                if trainer.step % config.save_every == 0 and trainer.step < config.steps:
                    save()
        save()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stop and trainer.step < config.steps:
        raise KeyboardInterrupt(f"stopped at step {trainer.step}; the same command goes on from there")


def _append(log: Path, entry: dict[str, Any]) -> None:
    with log.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def _forget_after(log: Path, step: int) -> None:
    """Drops entries of steps that were lost with an unsaved state; they come again."""
    if log.is_file():
        entries = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("}\n")]
        log.write_text("".join(line for line in entries if json.loads(line)["step"] <= step))


def main(args: list[str] | None = None) -> int:
    """Command line. Returns the exit code: 0, 2 on a user's mistake, 130 when interrupted."""
    config = tyro.cli(TrainConfig, args=args, description=__doc__, prog="python -m train.run")
    try:
        load_suite(config.suite)
        check(config)
        objective_of(config)
        demos = read_dataset(config.demonstrations)
        held_out = read_dataset(config.validation) if config.validation else None
        path = train(config, demos, held_out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or "stopped", file=sys.stderr)
        return 130
    print(f"checkpoint: {path}")
    print(f"evaluate it: python -m envs.run --suite {config.suite} --policy {config.objective} --checkpoint {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
