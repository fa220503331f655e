"""Settings of a training run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run. Everything that could change the weights is here.

    Attributes:
        suite: Suite the demonstrations belong to.
        objective: Training objective.
        data: Folder of the demonstrations (LeRobot dataset); data/<suite> when left out.
        validation: Folder of held-out demonstrations (validation seeds), to watch; none when left out.
        out: Folder of the run; runs/train/<suite>_<objective> when left out. A run found there is resumed.
        steps: Optimiser steps; the learning rate falls over all of them.
        batch_size: Observations a step.
        horizon: Keyframes a chunk.
        learning_rate: Peak of the learning rate.
        warmup: Steps of linear warm-up.
        final_share: Learning rate at the end, as a share of the peak.
        weight_decay: AdamW's, on matrices only.
        clip: Largest norm of the gradient.
        ema: Decay of the averaged weights, which are the ones that are kept.
        pointer_weight: Weight of the pointer loss, where the suite's cameras are calibrated. Large, because the
            gradient of drifting is: its field is normalised and never shrinks.
        options: Settings of the objective, as name=value.
        jitter: Random brightness and contrast, as a share.
        seed: Of weights, data order and noise.
        precision: Arithmetic of the networks; losses are always in float32.
        device: Torch device.
        threads: CPU threads.
        log_every: Steps between two entries of the log.
        validate_every: Steps between two validations.
        save_every: Steps between two saved states.
    """

    suite: str
    objective: str = "drifting"
    data: Path | None = None
    validation: Path | None = None
    out: Path | None = None
    steps: int = 4000
    batch_size: int = 64
    horizon: int = 1
    learning_rate: float = 5e-4
    warmup: int = 200
    final_share: float = 0.03
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    pointer_weight: float = 20.0
    options: tuple[str, ...] = ()
    jitter: float = 0.05
    seed: int = 0
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    device: str = "cpu"
    threads: int = 2
    log_every: int = 20
    validate_every: int = 500
    save_every: int = 200

    @property
    def folder(self) -> Path:
        """Where the run lives."""
        return self.out or Path("runs/train") / f"{Path(self.suite).stem}_{self.objective}"

    @property
    def demonstrations(self) -> Path:
        """Where the demonstrations are."""
        return self.data or Path("data") / Path(self.suite).stem
