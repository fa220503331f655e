"""A training session: takes up a run, goes on with it, logs, saves, and stops cleanly."""

import json
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from envs.spec import InputError
from train.config import LoopConfig, PretrainConfig, TrainConfig
from train.data import TrainingData
from train.loop import Trainer
from train.metrics import MetricsLog
from train.progress import TrainProgress
from train.rollout import Rollouts, rollout_episodes

_WITHOUT_BFLOAT16 = ("DEFAULT", "NO AVX", "AVX2")  # what torch calls processors that are older
# May differ between a run and its resumption: they do not touch the weights.
_FREE = (
    *("out", "data", "validation", "device", "threads", "log_every", "validate_every", "save_every"),
    *("rollout_every", "rollout_episodes", "rollout_tasks"),
)


def check(config: LoopConfig) -> None:
    """Raises InputError for settings that cannot be trained with."""
    if min(config.steps, config.batch_size, config.accumulate, config.threads, getattr(config, "horizon", 1)) < 1:
        raise InputError("--steps, --batch-size, --accumulate, --horizon and --threads must be at least 1.")
    if min(config.log_every, config.validate_every, config.save_every) < 1:
        raise InputError("--log-every, --validate-every and --save-every must be at least 1.")
    if config.accumulate > config.batch_size:
        raise InputError(f"--accumulate {config.accumulate} pieces do not fit --batch-size {config.batch_size}.")
    if not (0 < config.ema < 1 and config.learning_rate > 0 and config.clip > 0):
        raise InputError("--ema must lie between 0 and 1, --learning-rate and --clip above 0.")
    if config.jitter < 0 or config.crop < 0:
        raise InputError("--jitter and --crop must not be negative; 0 is off.")
    if isinstance(config, PretrainConfig) and not (0 <= config.recolour <= 1 and 0 <= config.warp <= 2):
        raise InputError("--recolour must lie between 0 and 1, --warp between 0 and 2; 0 is off.")
    if isinstance(config, TrainConfig):
        if config.rollout_every < 0:
            raise InputError("--rollout-every must not be negative; 0 is off.")
        if config.rollout_every:
            rollout_episodes(config)


def advice(config: LoopConfig) -> str | None:
    """What would make the same training much faster on this machine; None if nothing is known."""
    slow = config.precision == "bfloat16" and config.device == "cpu"
    if not slow or torch.backends.cpu.get_cpu_capability() not in _WITHOUT_BFLOAT16:
        return None
    return (
        "this processor emulates bfloat16 (it has no AVX-512), which is some ten times slower or worse; "
        "--precision float32 (a run of its own) uses what it has."
    )


def run_session(
    trainer: Trainer, keep: Callable[[], None], watched: TrainingData | None, rollouts: Rollouts | None = None
) -> None:
    """Trains to the last step, or until Ctrl-C or SIGTERM.

    Args:
        trainer: What is trained; its configuration names the folder.
        keep: Writes the weights for use.
        watched: Held-out data.
        rollouts: Plays the weights for use now and then.

    Raises:
        InputError: The folder holds a run with other settings.
        KeyboardInterrupt: On Ctrl-C or SIGTERM, after the state was saved.
    """
    session = _Session(trainer, keep, watched, rollouts)
    if trainer.world.main and (hint := advice(trainer.config)):
        print(f"note: {hint}", flush=True)
    with session.signals():
        session.train()
    trainer.world.leave()
    if session.unfinished:
        raise KeyboardInterrupt(f"stopped at step {trainer.step}; the same command goes on from there")


class _Session:
    """See `run_session`."""

    def __init__(
        self, trainer: Trainer, keep: Callable[[], None], watched: TrainingData | None, rollouts: Rollouts | None
    ) -> None:
        self._trainer, self._keep, self._watched, self._rollouts = trainer, keep, watched, rollouts
        self._config, self._world, self._folder = trainer.config, trainer.world, trainer.config.folder
        _take_up(self._folder, self._config, trainer)
        if rollouts is not None and self._world.main:
            rollouts.forget_after(trainer.step)
        self._sums: dict[str, list[float]] = defaultdict(list)
        self._stop: list[int] = []
        self._saved = -1
        self._cut_short = False

    @property
    def unfinished(self) -> bool:
        """Steps are left, or the last rollout."""
        return self._trainer.step < self._config.steps or self._cut_short

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the session after the step; a rollout after its episode, the second time at once."""

        def handle(number: int, frame: FrameType | None) -> None:
            self._stop.append(number)
            if self._rollouts is not None:
                self._rollouts.stop(at_once=len(self._stop) > 1)

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def train(self) -> None:
        trainer, config, main = self._trainer, self._config, self._world.main
        count = sum(p.numel() for p in trainer.parameters)
        with (
            MetricsLog(self._folder, trainer.step, main) as log,
            TrainProgress(trainer.step, config.steps, count, len(trainer.data), main) as progress,
        ):
            if self._rollout_due() and not log.has(trainer.step, "rollout"):
                self._roll_out(log, progress)  # the one that an interruption cut short
            while trainer.step < config.steps and not self._world.any(bool(self._stop)):
                self._one_step(log, progress)
                if self._every(config.save_every) and not self._rollout_due():
                    self._save()  # first: a validation can take minutes
                if self._watched is not None and main and self._every(config.validate_every):
                    errors = trainer.validate(self._watched)
                    progress.validation(trainer.step, errors)
                    log.add(trainer.step, "validation", errors)
                if self._rollout_due():
                    self._roll_out(log, progress)
            self._save()

    def _one_step(self, log: MetricsLog, progress: TrainProgress) -> None:
        began = time.perf_counter()
        for name, value in self._trainer.train_step().items():
            self._sums[name].append(value)
        self._sums["step_seconds"].append(time.perf_counter() - began)
        step = self._trainer.step
        if self._every(self._config.log_every):
            entry = {name: float(np.mean(values)) for name, values in self._sums.items()}
            self._sums.clear()
            progress.metrics(step, entry)
            log.add(step, "train", entry)
        progress.advance(step)

    def _every(self, steps: int) -> bool:
        return self._trainer.step % steps == 0 or self._trainer.step == self._config.steps

    def _rollout_due(self) -> bool:
        return self._rollouts is not None and self._world.main and self._rollouts.due(self._trainer.step)

    def _roll_out(self, log: MetricsLog, progress: TrainProgress) -> None:
        """Plays a rollout. Whatever goes wrong in it, training goes on."""
        assert self._rollouts is not None
        step = self._trainer.step
        self._save()
        try:
            if self._stop:
                raise KeyboardInterrupt
            result = self._rollouts.play(step, progress.aside)
        except KeyboardInterrupt:
            self._cut_short = True
        except Exception as error:  # of any simulator and any policy
            progress.note(f"step {step}  rollout failed, training goes on: {error}")
            log.add(step, "rollout_error", {"error": str(error)})
        else:
            progress.note(f"step {step}  {result.text}")
            log.add(step, "rollout", result.numbers)

    def _save(self) -> None:
        if self._world.main and self._saved != self._trainer.step:
            self._trainer.save(self._folder / "state.pt")
            self._keep()
            self._saved = self._trainer.step


def _settings(config: LoopConfig) -> dict[str, Any]:
    return {k: v for k, v in json.loads(json.dumps(asdict(config), default=str)).items() if k not in _FREE}


def _take_up(folder: Path, config: LoopConfig, trainer: Trainer) -> None:
    settings = _settings(config)
    path, state = folder / "config.json", folder / "state.pt"
    if state.is_file():
        # A setting that did not exist when the run began had what is its default now.
        before = _settings(type(config)(config.suite)) | json.loads(path.read_text())
        for name in settings:
            if before[name] != settings[name]:
                raise InputError(
                    f"{folder} holds a run with {name} = {before[name]!r}, now it is {settings[name]!r}. Use the "
                    "same settings to resume it, or another --out."
                )
        trainer.load(state)
    if trainer.world.main:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings, indent=2) + "\n")
