"""Settings of training runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from train.stages import BackboneConfig


@dataclass(frozen=True)
class LoopConfig:
    """What every training run sets. Everything that could change the weights is here.

    Attributes:
        suite: Suite the demonstrations belong to.
        data: Folder of the demonstrations (LeRobot dataset); data/<suite> when left out. With a mapping also the name
            of a dataset on the hub.
        validation: Folder of held-out demonstrations (validation seeds), to watch; none when left out.
        mapping: File, or name of a shipped one, that maps the columns of any LeRobot v3 dataset to an embodiment
            (`train.mapping`). Not needed for demonstrations of `train.demos`.
        out: Folder of the run; runs/train/<suite>_<what is trained> when left out. A run found there is resumed.
        steps: Optimiser steps; the learning rate falls over all of them.
        batch_size: Observations a step.
        accumulate: Pieces a batch is computed in, one after the other; for less memory.
        learning_rate: Peak of the learning rate.
        warmup: Steps of linear warm-up.
        final_share: Learning rate at the end, as a share of the peak.
        weight_decay: AdamW's, on matrices only.
        clip: Largest norm of the gradient.
        ema: Decay of the averaged weights, which are the ones that are kept.
        jitter: Random brightness and contrast, as a share.
        crop: Random shift of every view by up to so many pixels (the edge is repeated), 4 of 128 for example; 0 is off.
            Not with calibrated cameras, whose pixels must stay where they are.
        seed: Of weights, data order and noise.
        precision: Arithmetic of the networks; losses are always in float32.
        device: Torch device.
        threads: CPU threads.
        log_every: Steps between two entries of the log.
        validate_every: Steps between two validations.
        save_every: Steps between two saved states.
    """

    suite: str
    data: Path | None = None
    validation: Path | None = None
    mapping: str | None = None
    out: Path | None = None
    steps: int = 4000
    batch_size: int = 64
    accumulate: int = 1
    learning_rate: float = 5e-4
    warmup: int = 200
    final_share: float = 0.03
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    jitter: float = 0.05
    crop: int = 0
    seed: int = 0
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    device: str = "cpu"
    threads: int = 2
    log_every: int = 20
    validate_every: int = 500
    save_every: int = 200

    @property
    def trained(self) -> str:
        """What is trained, for the folder's name."""
        raise NotImplementedError

    @property
    def folder(self) -> Path:
        """Where the run lives."""
        return self.out or Path("runs/train") / f"{Path(self.suite).stem}_{self.trained}"

    @property
    def demonstrations(self) -> Path:
        """Where the demonstrations are."""
        return self.data or Path("data") / Path(self.suite).stem


@dataclass(frozen=True)
class TrainConfig(LoopConfig):
    """Settings of a policy's training; see `LoopConfig` for the rest.

    Attributes:
        objective: Training objective.
        size: "small", or "base": Qwen3-VL-2B and a trunk of 146 M parameters.
        backbone: The pretrained backbone of "base".
        encoder: Weights of a pre-trained small encoder (`train.pretrain`). It is frozen, and the larger part of its
            work is done once an observation. Without one, encoder and trunk are trained together.
        horizon: Keyframes a chunk.
        pointer_weight: Weight of the encoder's own loss, where encoder and trunk are trained together and the suite's
            cameras are calibrated. Large, because the gradient of drifting is: its field is normalised and never
            shrinks.
        options: Settings of the objective, as name=value.
        rollout_every: Steps between two rollouts, also after the last step: the averaged weights play episodes of the
            suite's validation seeds, never of its test seeds. 0 is off. The weights stay as they are without.
        rollout_episodes: Episodes a task and rollout.
        rollout_tasks: Tasks to play in rollouts; all of the suite's when left out.
    """

    objective: str = "drifting"
    size: Literal["small", "base"] = "small"
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    encoder: Path | None = None
    horizon: int = 1
    pointer_weight: float = 20.0
    options: tuple[str, ...] = ()
    rollout_every: int = 0
    rollout_episodes: int = 2
    rollout_tasks: tuple[str, ...] = ()

    @property
    def trained(self) -> str:
        """The objective."""
        return self.objective


@dataclass(frozen=True)
class PretrainConfig(LoopConfig):
    """Settings of an encoder's pre-training; see `LoopConfig` for the rest.

    Attributes:
        encoder: Weights of an encoder that was pre-trained before, to train on.
        part: What of it is trained on. "close": the close look alone, for about half the cost of a step: the rest stays
            as it is, and what it makes of an observation is kept. Without --recolour and --warp, which change that.
            "choice": its choice among the places that the views point at, which is new if it had none; without --warp.
        hard: Share of every batch that is drawn from keyframes which the encoder that one starts from points wrong in,
            the more often the more (`train.hard`). With --part all.
        overview: Layers of attention over all views' coarse maps (`model.overview`), where places depend on something
            far from them: of a new encoder, or new ones of the encoder that is trained on, with --part all.
        names: A lexicon tells what words for colours mean (`model.colours`); likewise.
        probe_weight: Weight of the action probe's loss.
        recolour: Share of the observations whose instruction names a colour that get other colours, in the views and
            in the sentence (`train.recolour`).
        warp: Random shifts, turns and zooms of the views, as a share of the largest (`train.warp`).
    """

    learning_rate: float = 1e-3
    encoder: Path | None = None
    part: Literal["close", "all", "choice"] = "close"
    hard: float = 0.0
    overview: int | None = None
    names: bool = False
    probe_weight: float = 0.5
    recolour: float = 0.7
    warp: float = 1.0

    @property
    def trained(self) -> str:
        """The encoder, or what of it."""
        return "encoder" if self.encoder is None else f"encoder_{self.part}"

    @property
    def close_only(self) -> bool:
        """The close look alone is trained."""
        return self.encoder is not None and self.part == "close"
