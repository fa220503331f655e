"""Policies with random weights, for timing: the sizes are the real ones, and weights do not change latency."""

from dataclasses import replace

import numpy as np

from envs.spec import Camera, InputError, Observation, TaskSpec
from model.actions import ACTION_DIM, KEYFRAME_EEF
from model.cameras import CameraModel
from model.checkpoint import CheckpointFacts, read_facts
from model.encoder import EncoderConfig
from model.network import NetworkConfig
from model.normalize import Normalizer
from model.objectives.base import Objective, options_of
from model.qwen.config import QwenConfig
from model.text import Vocabulary
from model.trunk import BASE, TrunkConfig
from policies import shipped

INSTRUCTION = "put the red block into the left drawer and close it"
_ROOM = 24  # words of an instruction, where no checkpoint says how many


def small_facts(objective: Objective, task: TaskSpec, like: CheckpointFacts | None = None) -> CheckpointFacts:
    """What the small network would be for a task.

    Args:
        objective: What it would be trained with.
        task: Its cameras and proprioception.
        like: Facts of a policy trained for the same suite, whose sizes are taken over.

    Raises:
        InputError: The cameras are not squares of one size, a multiple of 16.
    """
    if like is not None:
        network = replace(like.network, trunk=_for_objective(like.network.trunk, objective))
        return replace(like, network=network, objective=objective.name, options=options_of(objective), training={})
    sizes = {side for camera in task.cameras for side in (camera.height, camera.width)}
    if len(sizes) != 1 or min(sizes) % 16:
        raise InputError(
            f"the small network takes square views of one size, a multiple of 16; task {task.suite}/{task.task} has "
            f"{', '.join(f'{c.name} {c.height} x {c.width}' for c in task.cameras)}. Choose another suite."
        )
    vocabulary = Vocabulary(Vocabulary.learn([INSTRUCTION]).words, _ROOM)
    calibrated = all(camera.fov is not None for camera in task.cameras)
    encoder = EncoderConfig(
        views=len(task.cameras),
        image_size=sizes.pop(),
        proprioception=len(task.proprioception),
        vocabulary=len(vocabulary),
        max_words=vocabulary.max_words,
        cameras=tuple(CameraModel(c.fov or 0.0, c.mount, c.position, c.quaternion) for c in task.cameras)
        if calibrated
        else (),
    )
    return _facts(objective, task, NetworkConfig(encoder, TrunkConfig(encoder.width)), vocabulary)


def base_facts(objective: Objective, task: TaskSpec, encoder: QwenConfig, context_dim: int) -> CheckpointFacts:
    """What the `base` network would be for a task: its trunk over a Qwen3-VL backbone.

    The backbone's tokenizer is not read: a word counts as one token.

    Args:
        objective: What it would be trained with.
        task: Its cameras.
        encoder: Settings of the backbone.
        context_dim: Size of the backbone's tokens.
    """
    vocabulary = Vocabulary(Vocabulary.learn([INSTRUCTION]).words, encoder.max_words)
    network = NetworkConfig(encoder, replace(BASE, context_dim=context_dim))
    return _facts(objective, replace(task, proprioception=()), network, vocabulary)


def _facts(objective: Objective, task: TaskSpec, network: NetworkConfig, vocabulary: Vocabulary) -> CheckpointFacts:
    entries = len(task.proprioception)
    return CheckpointFacts(
        replace(network, trunk=_for_objective(network.trunk, objective)),
        objective.name,
        options_of(objective),
        vocabulary,
        Normalizer(
            task.convention.embodiment, (0.0,) * ACTION_DIM, (1.0,) * ACTION_DIM, (0.0,) * entries, (1.0,) * entries
        ),
        tuple(camera.name for camera in task.cameras),
        task.proprioception,
        task.convention,
    )


def _for_objective(trunk: TrunkConfig, objective: Objective) -> TrunkConfig:
    return replace(
        trunk, input_dim=objective.input_dim or TrunkConfig.input_dim, time_embedding=objective.time_embedding
    )


def trained_for(suite: str) -> CheckpointFacts | None:
    """Facts of a shipped checkpoint of the small network for the suite; None where there is none that can be read."""
    for path in sorted(shipped.CHECKPOINTS.glob("*.safetensors")):
        try:
            facts = read_facts(path)
        except InputError:
            continue
        if facts.training.get("suite") == suite and isinstance(facts.network.encoder, EncoderConfig):
            return facts
    return None


def synthetic_task(views: int, size: int) -> TaskSpec:
    """A task that is played nowhere: some uncalibrated views of one size, keyframe actions."""
    return TaskSpec(
        suite="synthetic",
        task="views",
        cameras=tuple(Camera(f"view_{k}", size, size) for k in range(views)),
        proprioception=(),
        convention=KEYFRAME_EEF,
        control_hz=None,
        max_steps=1,
        success_rule="success_once",
        variations=1,
        simulator="none",
        simulator_version="0",
        adapter_version=1,
        action_low=(0.0,) * 8,
        action_high=(1.0,) * 8,
    )


def synthetic_observation(task: TaskSpec) -> Observation:
    """An observation of noise in the task's shapes; the end effector points down over the table."""
    rng = np.random.default_rng(0)
    at_rest = {"gripper_open": 1.0, "eef_x": 0.3, "eef_z": 1.1, "eef_qy": 1.0}
    return {
        "images": {c.name: rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in task.cameras},
        "proprioception": np.array([at_rest.get(name, 0.0) for name in task.proprioception], np.float32),
        "instruction": INSTRUCTION,
    }
