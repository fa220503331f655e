"""What a training set fixes of a policy: the sizes of the network, words, scales, calibration."""

from dataclasses import replace

import numpy as np

from envs.spec import InputError
from envs.suite import load_suite
from model.actions import EMBODIMENTS, POSITION, ActionConvention
from model.cameras import CameraModel
from model.checkpoint import ENCODER, CheckpointFacts
from model.encoder import EncoderConfig
from model.network import NetworkConfig
from model.normalize import Normalizer
from model.objectives.base import Objective, options_of
from model.qwen.config import QwenConfig
from model.qwen.files import hidden_size
from model.qwen.tokens import QwenTokens
from model.text import Vocabulary
from model.trunk import BASE, TrunkConfig
from train.config import LoopConfig, TrainConfig
from train.demonstrations import Demonstrations
from train.lerobot.dataset import DemoDataset

_ROOM = 0.03  # m


def calibration(config: LoopConfig, demos: DemoDataset) -> tuple[CameraModel, ...]:
    """The suite's calibration of the demonstrations' views; empty where a camera is not calibrated."""
    suite = load_suite(config.suite)
    known = {camera.name: camera for camera in suite.spec(next(iter(suite.tasks))).cameras}
    cameras = [known[name] for name in demos.cameras if name in known]
    models = tuple(CameraModel(c.fov, c.mount, c.position, c.quaternion) for c in cameras if c.fov is not None)
    return models if len(models) == len(demos.cameras) else ()


def _places_in_space(convention: ActionConvention) -> bool:
    """Actions hold a place that calibrated cameras could see: the end effector's, in the world."""
    return convention.frame == "world" and bool(EMBODIMENTS[convention.embodiment].mask[POSITION].all())


def _heights(convention: ActionConvention, demos: DemoDataset) -> tuple[float, float]:
    """The demonstrated end-effector positions' heights, with some room, m."""
    if not _places_in_space(convention):
        return EncoderConfig.heights
    z = EMBODIMENTS[convention.embodiment].encode(demos.actions)[:, POSITION][:, 2]
    return round(float(z.min()) - _ROOM, 3), round(float(z.max()) + _ROOM, 3)


def cameras_of(facts: CheckpointFacts) -> tuple[CameraModel, ...]:
    """The calibration that a policy's encoder uses; empty for one that uses none."""
    encoder = facts.network.encoder
    return encoder.cameras if isinstance(encoder, EncoderConfig) else ()


def facts_of(
    config: LoopConfig, objective: Objective | None, source: Demonstrations, pretrained: CheckpointFacts | None = None
) -> CheckpointFacts:
    """Measures the training set and fixes the sizes of the network.

    Args:
        config: Settings.
        objective: What the trunk is trained with; None where an encoder is pre-trained.
        source: What the policy learns from.
        pretrained: Facts of a pre-trained encoder: its sizes, words and scales are taken over.

    Raises:
        InputError: The demonstrations are not of the kind that the pre-trained encoder has seen.
    """
    convention, demos = source.convention, source.training
    encoder: EncoderConfig | QwenConfig
    vocabulary: Vocabulary | QwenTokens
    sizes = TrunkConfig(context_dim=EncoderConfig.width)
    if isinstance(config, TrainConfig) and config.size == "base":
        encoder = config.backbone.encoder()
        vocabulary = QwenTokens.load(encoder)
        normalizer = Normalizer.fit(convention.embodiment, demos.actions, demos.proprioception)
        sizes = replace(BASE, context_dim=hidden_size(encoder))
    elif pretrained is None:
        vocabulary = Vocabulary.learn(demos.instructions)
        normalizer = Normalizer.fit(convention.embodiment, demos.actions, demos.proprioception)
        encoder = EncoderConfig(
            views=len(demos.cameras),
            image_size=demos.images.shape[2],
            proprioception=len(demos.proprioception_names),
            vocabulary=len(vocabulary),
            max_words=vocabulary.max_words,
            colours=8 if demos.cameras else 0,
            cameras=calibration(config, demos) if _places_in_space(convention) else (),
            heights=_heights(convention, demos),
        )
    else:
        vocabulary, normalizer = pretrained.vocabulary, pretrained.normalizer
        encoder = pretrained.network.encoder
        assert isinstance(encoder, EncoderConfig)
        mine = (demos.cameras, demos.proprioception_names, demos.images.shape[2], convention)
        theirs = (pretrained.cameras, pretrained.proprioception, encoder.image_size, pretrained.convention)
        for what, here, there in zip(("cameras", "proprioception", "image size", "actions"), mine, theirs, strict=True):
            if here != there:
                raise InputError(
                    f"these demonstrations have {what} {here}, the encoder was pre-trained with {there}. Pre-train "
                    "one on these demonstrations with `python -m train.pretrain`."
                )
    if objective is not None and isinstance(config, TrainConfig):
        sizes = replace(
            sizes,
            input_dim=objective.input_dim or sizes.input_dim,
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
        NetworkConfig(encoder, sizes),
        ENCODER if objective is None else objective.name,
        {} if objective is None else options_of(objective),
        vocabulary,
        normalizer,
        demos.cameras,
        demos.proprioception_names,
        convention,
        training,
    )
