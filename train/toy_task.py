"""The smallest task with two right answers: pass an obstacle on the left or on the right.

A point moves from the origin to a goal at x = 1 in 8 waypoints; a disc stands on the straight line. Observation: the
disc's place along x and the goal's y. Every observation is shown with one of the two manoeuvres. Their average runs
into the disc, so a policy that averages fails.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from model.actions import ACTION_DIM

HORIZON = 8
RADIUS = 0.2  # of the disc
HEIGHT = (0.32, 0.38)  # how far the expert passes the disc's centre
GOAL_TOLERANCE = 0.1
LONGEST = 1.25  # times the expert's way
MEAN, STD = (0.5625, 0.0), (0.286, 0.25)  # of x and y, for the network


class Scenes(NamedTuple):
    """Observations.

    Attributes:
        disc: The disc's x.
        goal: The goal's y.
    """

    disc: Float[np.ndarray, " N"]
    goal: Float[np.ndarray, " N"]

    @property
    def tensor(self) -> Float[Tensor, "N 2"]:
        """As the network sees them, each number about -1 .. 1."""
        return torch.tensor(np.stack([(self.disc - 0.5) / 0.15, self.goal / 0.3], axis=-1), dtype=torch.float32)


def random_scenes(count: int, rng: np.random.Generator) -> Scenes:
    """Draws scenes."""
    return Scenes(rng.uniform(0.35, 0.65, count), rng.uniform(-0.3, 0.3, count))


def picture_scene() -> Scenes:
    """The scene that pictures show."""
    return Scenes(np.array([0.5]), np.array([0.1]))


def expert(scenes: Scenes, height: Float[np.ndarray, " N"]) -> Float[np.ndarray, "N 8 2"]:
    """Waypoints that pass the disc at a signed distance: above zero on the left (larger y), below on the right."""
    x = np.arange(1, HORIZON + 1) / HORIZON
    bump = np.sin(np.pi * x ** (np.log(0.5) / np.log(scenes.disc))[:, None])
    y = scenes.goal[:, None] * x + height[:, None] * bump
    return np.stack([np.broadcast_to(x, y.shape), y], axis=-1)


def demonstrations(count: int, rng: np.random.Generator) -> tuple[Scenes, Float[np.ndarray, "N 8 2"]]:
    """Scenes, each with one manoeuvre, left or right with equal chance."""
    scenes = random_scenes(count, rng)
    side = rng.choice([-1.0, 1.0], count)
    return scenes, expert(scenes, side * rng.uniform(*HEIGHT, count))


class Judgement(NamedTuple):
    """What became of sampled chunks.

    Attributes:
        valid: Clear of the disc, at the goal, without detours.
        left: On which side.
    """

    valid: Bool[np.ndarray, "N n"]
    left: Bool[np.ndarray, "N n"]


def judge(scenes: Scenes, chunks: Float[np.ndarray, "N n 8 2"]) -> Judgement:
    """Judges n chunks of each scene."""
    points = np.concatenate([np.zeros_like(chunks[..., :1, :]), chunks], axis=-2)
    start, step = points[..., :-1, :], np.diff(points, axis=-2)
    centre = np.stack([scenes.disc, scenes.goal * scenes.disc], axis=-1)[:, None, None]
    # The nearest point of every piece of the way to the disc's centre.
    along = ((centre - start) * step).sum(-1) / np.maximum((step**2).sum(-1), 1e-12)
    offset = start + along.clip(0, 1)[..., None] * step - centre
    distance = np.linalg.norm(offset, axis=-1)
    goal = np.stack([np.ones_like(scenes.goal), scenes.goal], axis=-1)[:, None]
    arrived = np.linalg.norm(chunks[..., -1, :] - goal, axis=-1) <= GOAL_TOLERANCE
    shortest = expert(scenes, np.full(len(scenes.goal), sum(HEIGHT) / 2))
    length = np.linalg.norm(step, axis=-1).sum(-1)
    direct = length <= LONGEST * np.linalg.norm(np.diff(shortest, axis=1, prepend=0.0), axis=-1).sum(-1)[:, None]
    nearest = np.take_along_axis(offset[..., 1], distance.argmin(-1)[..., None], axis=-1)[..., 0]
    return Judgement((distance.min(-1) >= RADIUS) & arrived & direct, nearest > 0)


def to_slots(chunks: Float[np.ndarray, "*n 8 2"]) -> Float[Tensor, "*n 8 128"]:
    """Waypoints as normalised x and y in the first two of the 128 slots."""
    slots = np.zeros((*chunks.shape[:-1], ACTION_DIM), dtype=np.float32)
    slots[..., :2] = (chunks - MEAN) / STD
    return torch.from_numpy(slots)


def from_slots(slots: Float[Tensor, "*n 8 128"]) -> Float[np.ndarray, "*n 8 2"]:
    """The inverse of `to_slots`."""
    return slots[..., :2].double().numpy() * STD + MEAN


def slot_mask() -> Bool[Tensor, "128"]:
    """The two slots that count."""
    return torch.arange(ACTION_DIM) < 2
