"""Trains an encoder's choice among the places that its views point at (`model.choice`); the rest stays as it is."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from model.choice import choice_loss
from model.encoder import Encoder
from model.normalize import Normalizer
from model.text import Vocabulary
from train.config import PretrainConfig
from train.data import TrainingData
from train.errors import FOUND, TRAVELLING, decisions
from train.loop import Trainer
from train.recolour import Recolouring

CHOICES = 8  # places that are compared


class ChoiceTrainer(Trainer):
    """The views are recoloured, but not moved: candidates are made through the calibration.

    Args:
        config: Settings.
        encoder: With `EncoderConfig.choices`.
        data: The training set.
        normalizer: Its scales.
        vocabulary: Its words.
    """

    config: PretrainConfig

    def __init__(
        self,
        config: PretrainConfig,
        encoder: Encoder,
        data: TrainingData,
        normalizer: Normalizer,
        vocabulary: Vocabulary,
    ) -> None:
        assert encoder.choice is not None
        encoder.requires_grad_(False)
        encoder.choice.requires_grad_(True)
        super().__init__(config, nn.ModuleDict({"encoder": encoder}), data)
        self.normalizer = normalizer
        self.recolouring = Recolouring(vocabulary)

    def losses(self, rows: Tensor, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """See `Trainer.losses`: `right`, the share of observations with several places where the best one is right."""
        encoder, batch = _encoder(self.network), self.batch(rows, rng)
        assert batch.goal is not None
        if self.config.recolour:
            batch = self.recolouring(batch, self.config.recolour, rng)
        turn = (2 * torch.rand(len(rows), generator=rng) - 1) * torch.pi
        with self.autocast():
            with torch.no_grad():
                glimpse = encoder.look(batch.observations)
            places, worth, scores = encoder.compared(batch.observations, glimpse, turn.to(self.device))
        loss, right = choice_loss(scores, places, worth, batch.goal, FOUND)
        return loss, {"loss": loss.item(), "right": right.item()}

    @torch.no_grad()
    def validate(self, data: TrainingData) -> dict[str, float]:
        """See `Trainer.validate`: `<group>/found`, the shares of frames whose place is found within 4 cm."""
        encoder, goal, found = _encoder(self.ema), data.goal, []
        assert goal is not None
        for rows in torch.arange(len(data)).split(self.config.batch_size):
            observations = data.batch(rows, self.device).observations
            with self.autocast():
                glimpse = encoder.look(observations)
                point = encoder.point(glimpse.logits, observations.tip, chosen=encoder.chosen(observations, glimpse))
            found.append((point.cpu() - goal[rows]).norm(dim=-1) < FOUND)
        native = self.normalizer.to_action(data.target[:, 0].numpy())
        travelling = torch.from_numpy(decisions(data.tip.numpy(), native)[TRAVELLING])
        return _shares(torch.cat(found), {TRAVELLING: travelling}, data.task)


def _shares(found: Tensor, groups: Mapping[str, Tensor], task: list[str]) -> dict[str, float]:
    rows = {"all": torch.ones_like(found)} | dict(groups)
    for name in sorted(set(task)):
        rows[name] = torch.tensor([one == name for one in task])
    return {f"{name}/found": found[mine].float().mean().item() for name, mine in rows.items() if mine.any()}


def _encoder(network: nn.Module) -> Encoder:
    assert isinstance(network, nn.ModuleDict)
    encoder = network["encoder"]
    assert isinstance(encoder, Encoder)
    return encoder
