"""What the training loop trains: an encoder with its probe, or a policy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.anchor import from_offsets, heading_of, to_offsets
from model.cameras import project
from model.encoder import Encoder
from model.network import Network
from model.normalize import ROTATION_6D, Normalizer
from model.objectives.base import Objective
from model.observation import EncoderOutput, ObservationBatch
from model.pointer import places_loss
from model.probe import ActionProbe
from model.qwen.encoder import QwenEncoder, set_stage
from model.state_encoder import StateEncoder
from model.text import Vocabulary
from train.config import PretrainConfig, TrainConfig
from train.data import Batch, TrainingData, step_rows
from train.errors import FOUND, TRAVELLING, action_errors, decisions
from train.features import FeatureCache
from train.hard import HardRows
from train.loop import Trainer
from train.recolour import Recolouring
from train.warp import in_warped, random_warps, warped


class EncoderTrainer(Trainer):
    """Pre-trains an encoder: to find places (`model.pointer`) and to tell actions apart (`model.probe`)."""

    config: PretrainConfig

    def __init__(
        self,
        config: PretrainConfig,
        encoder: Encoder,
        probe: ActionProbe,
        data: TrainingData,
        normalizer: Normalizer,
        vocabulary: Vocabulary,
        hard: HardRows | None = None,
    ) -> None:
        if config.close_only:
            encoder.requires_grad_(False)
            for part in (encoder.local, encoder.fusion):
                assert part is not None  # the cameras are calibrated
                part.requires_grad_(True)
        super().__init__(config, nn.ModuleDict({"encoder": encoder, "probe": probe}), data)
        self.normalizer = normalizer
        self.recolouring = Recolouring(vocabulary)
        self.features: FeatureCache | None = None
        self._wants_features = config.close_only
        self._hard = hard

    def rows(self) -> Tensor:
        """See `Trainer.rows`: `config.hard` of them are hard ones."""
        if self._hard is None:
            return super().rows()
        config = self.config
        count = round(config.hard * config.batch_size)
        drawn = self._hard.draw(self.step, count, config.seed)
        # In turn, so that every process gets its part of both.
        rows = torch.cat([step_rows(self.step, config.batch_size - count, len(self.data), config.seed), drawn])
        return rows[np.random.default_rng(self.step).permutation(len(rows))]

    def train_step(self) -> dict[str, float]:
        """See `Trainer.train_step`."""
        if self._wants_features:
            self._wants_features = False
            self.features = _kept(self, _parts(self.network)[0])
        return super().train_step()

    def losses(self, rows: Tensor, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """See `Trainer.losses`: `probe`, and what `places_loss` gives."""
        encoder, probe = _parts(self.network)
        batch, maps = self.batch(rows, rng), None
        with self.autocast():
            if self.features is not None:
                seen = self.features.rows(rows, self.device)
            elif self.config.close_only:
                seen = encoder.look(batch.observations)
            else:
                batch, moved, maps = self.moved(batch, rng)
                seen = encoder.look(moved)
            encoded = encoder.focus(batch.observations, seen, batch.goal, rng, maps)
        target = to_offsets(batch.target[:, 0, 0], encoded.anchor, self.normalizer)
        guess = probe.loss(encoded.tokens, encoded.mask, target)
        total, metrics = _places(encoded, encoder, batch, maps)
        total = total + self.config.probe_weight * guess
        return total, {"loss": total.item(), "probe": guess.item()} | metrics

    def moved(self, batch: Batch, rng: torch.Generator) -> tuple[Batch, ObservationBatch, Tensor | None]:
        """A batch recoloured, the observations to look at, and how their views were moved (`Encoder.point`)."""
        config = self.config
        if config.recolour:
            batch = self.recolouring(batch, config.recolour, rng)
        seen = batch.observations
        if not config.warp:
            return batch, seen, None
        count, views = seen.images.shape[:2]
        maps = random_warps(count, views, config.warp, rng).to(seen.images.device)
        return batch, seen._replace(images=warped(seen.images, maps)), maps

    @torch.no_grad()
    def validate(self, data: TrainingData) -> dict[str, float]:
        """See `Trainer.validate`: errors of the probe's likeliest guess, and of the places."""
        encoder, probe = _parts(self.ema)
        found = Found(self.normalizer)
        for rows in torch.arange(len(data)).split(self.config.batch_size):
            batch = data.batch(rows, self.device)
            with self.autocast():
                encoded = encoder(batch.observations)
            found.add(probe.best(encoded.tokens, encoded.mask), encoded)
        return found.errors(data)


class PolicyTrainer(Trainer):
    """Trains a policy: trunk and encoder together, the trunk over a frozen encoder, or `base` in its stages.

    Args:
        config: Settings.
        network: Encoder and trunk.
        objective: What the trunk learns.
        data: The training set.
        normalizer: Its scales.
        frozen: The encoder stays as it is. A Qwen3-VL encoder follows `config.backbone` instead.
    """

    config: TrainConfig
    network: Network
    ema: Network

    def __init__(
        self,
        config: TrainConfig,
        network: Network,
        objective: Objective,
        data: TrainingData,
        normalizer: Normalizer,
        frozen: bool = False,
    ) -> None:
        if isinstance(network.encoder, QwenEncoder):
            set_stage(network.encoder, "lora")  # every parameter that any stage trains
        elif frozen:
            network.encoder.requires_grad_(False)
        super().__init__(config, network, data)
        self.objective, self.normalizer = objective, normalizer
        self.staged = network.encoder if isinstance(network.encoder, QwenEncoder) else None
        self.frozen = frozen and self.staged is None
        self.features: FeatureCache | None = None
        self._wants_features = self.frozen or (self.staged is not None and config.backbone.cache)

    def parts(self) -> dict[str, Sequence[Tensor]]:
        """See `Trainer.parts`: LoRA has learning rates of its own."""
        if not isinstance(self.network.encoder, QwenEncoder):
            return super().parts()
        lora = [p for p in self.network.encoder.parameters() if p.requires_grad]
        return {"": [p for p in self.network.trunk.parameters() if p.requires_grad], "lora": lora}

    def rate(self, part: str = "") -> float:
        """See `Trainer.rate`."""
        return self.config.backbone.rate(self.step) if part == "lora" else super().rate(part)

    def train_step(self) -> dict[str, float]:
        """See `Trainer.train_step`. Stages of the backbone begin here."""
        frozen = self.frozen
        if self.staged is not None:
            stage = self.config.backbone.stage(self.step)
            frozen = stage == "frozen"
            if self.staged.stage != stage:
                set_stage(self.staged, stage)
        if frozen and self._wants_features:
            self._wants_features = False
            assert not isinstance(self.network.encoder, StateEncoder)  # none is pre-trained
            self.features = _kept(self, self.network.encoder)
        if not frozen:
            self.features = None
        return super().train_step()

    def losses(self, rows: Tensor, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """See `Trainer.losses`: what the objective gives, and `places_loss` where the encoder is trained too."""
        network, config = self.network, self.config
        encoder: Any = network.encoder  # of two kinds, each with features of its own
        batch = self.batch(rows, rng)
        with self.autocast():
            with torch.set_grad_enabled(not self.frozen):
                if self.features is None:
                    seen = encoder.look(batch.observations)
                else:
                    seen = self.features.rows(rows, self.device)
                encoded = encoder.focus(batch.observations, seen, batch.goal, rng)
            context = network.trunk.prepare(encoded.tokens, encoded.mask, batch.embodiment)
            target = to_offsets(batch.target, encoded.anchor, self.normalizer)
            losses = self.objective.loss(network.trunk, context, target, batch.mask, rng, self.step / config.steps)
        total, metrics = losses.total, {"loss": losses.total.item()} | losses.metrics
        if isinstance(encoder, Encoder) and not self.frozen:
            pointing, places = _places(encoded, encoder, batch)
            total, metrics = total + config.pointer_weight * pointing, metrics | places
        return total, metrics

    @torch.no_grad()
    def validate(self, data: TrainingData) -> dict[str, float]:
        """See `Trainer.validate`: errors of one sample an observation, on the first keyframe of the chunk.

        Diffusion is sampled in 10 passes for it: 100 of them took longer than the training between two validations.
        """
        found, rng, objective = Found(self.normalizer), torch.Generator().manual_seed(0), self.objective.quick()
        for rows in torch.arange(len(data)).split(self.config.batch_size):
            batch = data.batch(rows, self.device)
            with self.autocast():
                context, encoded = self.ema.encode_and_anchor(batch.observations, batch.embodiment)
                chunk = objective.sample(self.ema.trunk, context, 1, rng, data.target.shape[1], batch.mask)
            found.add(chunk[:, 0, 0], encoded)
        return found.errors(data)

    def extra_state(self) -> dict[str, Any]:
        """The objective's queues."""
        return self.objective.state_dict()

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """See `extra_state`."""
        self.objective.load_state_dict(state)


class Found:
    """Generated actions and places of a dataset, gathered batch by batch."""

    def __init__(self, normalizer: Normalizer) -> None:
        self._normalizer = normalizer
        self._actions: list[Tensor] = []
        self._places: dict[str, list[Tensor]] = {"point_cm": [], "refined_cm": []}

    def add(self, internal: Tensor, encoded: EncoderOutput) -> None:
        """Takes the actions [B, 128], in the anchor's frame, of one batch."""
        self._actions.append(from_offsets(internal.float(), encoded.anchor, self._normalizer).cpu())
        if encoded.places is not None:
            self._places["point_cm"].append(encoded.places.point.cpu())
            self._places["refined_cm"].append(encoded.places.refined.cpu())

    def errors(self, data: TrainingData) -> dict[str, float]:
        """See `action_errors`.

        With calibrated cameras also `all/point_cm` and `all/refined_cm`, medians, and `travelling/found`: of the frames
        where the hand has to go elsewhere, the share that the views' pointers met within 4 cm of the right place.
        """
        groups = None
        if data.goal is not None:
            groups = decisions(data.tip.numpy(), self._normalizer.to_action(data.target[:, 0].numpy()))
        errors = action_errors(torch.cat(self._actions), data.target[:, 0], data.task, self._normalizer, groups)
        if data.goal is not None and groups and self._places["point_cm"]:
            miss = {name: (torch.cat(places) - data.goal).norm(dim=-1) for name, places in self._places.items()}
            errors |= {f"all/{name}": 100 * far.median().item() for name, far in miss.items()}
            travelling = torch.from_numpy(groups[TRAVELLING])
            if travelling.any():
                errors[f"{TRAVELLING}/found"] = (miss["point_cm"][travelling] < FOUND).float().mean().item()
        return errors


def _kept(trainer: "EncoderTrainer | PolicyTrainer", encoder: Encoder | QwenEncoder) -> FeatureCache | None:
    """What a frozen encoder makes of the training set, where it fits into memory."""
    config = trainer.config
    # Those of a Qwen3-VL encoder would fill a disk.
    file = config.encoder if isinstance(encoder, Encoder) else None
    with trainer.autocast():
        return FeatureCache.if_it_fits(encoder.look, trainer.data, config.batch_size, trainer.device, file)


def _parts(network: Any) -> tuple[Encoder, ActionProbe]:
    return network["encoder"], network["probe"]


def _places(
    encoded: EncoderOutput, encoder: Encoder, batch: Batch, maps: Tensor | None = None
) -> tuple[Tensor, dict[str, float]]:
    """The encoder's own loss; nothing without calibrated cameras."""
    if encoded.places is None or batch.goal is None:
        return encoded.tokens.new_zeros(()), {}
    sizes = encoder.config
    image = project(sizes.cameras, batch.observations.tip, batch.goal)
    if maps is not None:
        image = in_warped(image, maps)
    heading = heading_of(batch.target[:, 0, 0, ROTATION_6D])
    return places_loss(encoded.places, image, sizes.heights, batch.goal, heading)
