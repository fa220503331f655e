"""Tiny made-up demonstrations, and settings to train on them."""

from dataclasses import replace

import numpy as np
import torch

from model.cameras import CameraModel, project
from train import facts as train_facts
from train.config import TrainConfig
from train.demonstrations import Demonstrations
from train.lerobot.dataset import DemoDataset

NAMES = ("gripper_open", "eef_x", "eef_y", "eef_z", "eef_qx", "eef_qy", "eef_qz", "eef_qw", "time")
DOWN = [1.0, 0.0, 0.0, 0.0]
# From above (the image's right is x, its up is y) and from the side (right is y, up is z).
CAMERAS = (
    CameraModel(50.0, "world", (0.25, 0.0, 2.0), (0.0, 0.0, 0.0, 1.0)),
    CameraModel(50.0, "world", (1.3, 0.0, 1.0), (0.5, 0.5, 0.5, 0.5)),
)


def dataset(episodes: int = 6, keyframes: int = 3, seed: int = 0) -> DemoDataset:
    """Tiny made-up demonstrations: two views of 32 pixels, a bright square that shows the target."""
    rng = np.random.default_rng(seed)
    n = episodes * keyframes
    images = rng.integers(0, 60, (n, 2, 32, 32, 3)).astype(np.uint8)
    position = rng.uniform([0.1, -0.3, 0.8], [0.4, 0.3, 1.2], (n, 3))
    for row, views in enumerate(project(CAMERAS, torch.zeros(n, 7), torch.from_numpy(position).float())):
        for view, (right, down) in enumerate(((views.clamp(-1, 1) + 1) * 16).int().tolist()):
            images[row, view, max(down - 3, 0) : down + 3, max(right - 3, 0) : right + 3] = 255
    index = np.arange(n)
    state = np.zeros((n, len(NAMES)), np.float32)
    state[:, 1:4] = rng.uniform([0.1, -0.3, 0.8], [0.4, 0.3, 1.2], (n, 3))
    state[:, 4:8] = DOWN
    state[:, 8] = 1 - (index % keyframes) * 0.1
    actions = np.concatenate([position, np.tile(DOWN, (n, 1)), (index % 2)[:, None]], axis=1).astype(np.float32)
    return DemoDataset(
        images=images,
        cameras=("left", "right"),
        proprioception=state,
        proprioception_names=NAMES,
        instructions=[("push the red button", "open the drawer")[i // keyframes % 2] for i in index],
        actions=actions,
        episode_index=index // keyframes,
        frame_index=index % keyframes,
        keyframe_index=index % keyframes,
        task=[("push_buttons", "open_drawer")[i // keyframes % 2] for i in index],
    )


def demonstrations(training: DemoDataset | None = None, held_out: bool = False, **sizes) -> Demonstrations:
    """What a run learns from, and perhaps watches: scenes of another seed."""
    return Demonstrations(training or dataset(**sizes), dataset(seed=1) if held_out else None)


def config(tmp_path, **changes) -> TrainConfig:
    base = TrainConfig(
        "mock",
        out=tmp_path / "run",
        steps=6,
        batch_size=4,
        warmup=2,
        save_every=3,
        log_every=2,
        threads=1,
        validate_every=6,
        precision="float32",  # processors without AVX-512 emulate bfloat16, slowly
    )
    return replace(base, **changes)


def calibrate(monkeypatch, cameras: tuple[CameraModel, ...] = CAMERAS) -> None:
    """Calibrates the made-up views, which no suite has."""
    monkeypatch.setattr(train_facts, "calibration", lambda config, demos: cameras)
