"""How the experts pick up an object that moves on by itself: stay above it, sink along with it, close, lift."""

import numpy as np
from jaxtyping import Float

from envs.dynamic.task import TICK_S, Command
from envs.rlbench.world import World

LIFT = 0.10  # m over where it stood: picked up
_LIFT_TO = 0.17  # m: where the expert lifts to
_HOVER = 0.10  # m from the object's middle to the tip
_ALIGNED = 0.020  # m: near enough to sink
_BESIDE = 0.028  # m: near enough to stay down, once the fingers are around the object
_AROUND = 0.045  # m: below this height the fingers are around it
_DOWN = 0.010  # m: low enough to close


def pick(world: World, body: str, velocity: Float[np.ndarray, "3"], surface: float) -> Command:
    """What to do now to pick up a moving body.

    Args:
        world: The scene.
        body: The body.
        velocity: How it moves, m/s.
        surface: Height of its middle while it stands, m.
    """
    tip = world.tip.position
    if world.held == body:
        return Command(np.array([tip[0], tip[1], surface + _LIFT_TO]), open=False)
    now = world.pose(body).position
    ahead = now + velocity * TICK_S
    miss, height = float(np.linalg.norm((tip - now)[:2])), float(tip[2] - now[2])
    if miss > (_BESIDE if height < _AROUND else _ALIGNED):
        # Not down beside it: a finger would push it over.
        return Command(ahead + np.array([0.0, 0.0, _HOVER]), open=True, on_the_way=True)
    return Command(ahead, open=height > _DOWN)


def picked(world: World, body: str, surface: float) -> bool:
    """Whether the gripper holds the body `LIFT` above where it stood."""
    holds = world.held == body or body in world.touched()
    return holds and world.pose(body).position[2] > surface + LIFT
