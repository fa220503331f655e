import numpy as np
import pytest

import envs.rlbench  # noqa: F401 - names the off-screen GL back end before mujoco is imported
from envs.rlbench.palette import PALETTE
from envs.spec import Episode
from envs.suite import load_suite


@pytest.fixture(scope="session")
def rlbench():
    return load_suite("rlbench18")


@pytest.fixture(scope="session")
def make_env(rlbench):
    """The one environment of a task that the tests share."""
    made = {}

    def make(task):
        if task not in made:
            made[task] = rlbench.make(task)
        return made[task]

    yield make
    for env in made.values():
        env.close()


@pytest.fixture
def scene(make_env, monkeypatch):
    """Resets a task without rendering: `scene("turn_tap", variation=1)` -> environment."""

    def reset(task, variation=0, seed=1_000_000):
        env = make_env(task)
        monkeypatch.setattr(env, "_observe", dict)
        env.reset(Episode("rlbench18", task, variation, seed))
        return env

    return reset


@pytest.fixture(scope="session")
def set_joint():
    """Writes a joint's value (rad or m) and recomputes the scene."""

    def write(env, joint, value):
        world = env._world
        world.data.qpos[world.model.joint(joint).qposadr[0]] = value
        world.forward()

    return write


@pytest.fixture(scope="session")
def put():
    """Places a free body at a point of a frame (m), turned like it, and says whether the task is solved then."""

    def place(env, body, frame, x, y, z):
        world = env._world
        pose = world.pose(frame)
        world.place(body, type(pose)(pose.at(x, y, z), pose.rotation))
        world.forward()
        return env._check()

    return place


@pytest.fixture(scope="session")
def painted():
    """Name of a geom's colour."""

    def name(env, geom):
        rgb = env._world.model.geom(geom).rgba[:3]
        return min(PALETTE, key=lambda color: np.abs(rgb - PALETTE[color]).sum())

    return name
