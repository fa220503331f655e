import pytest

import envs.dynamic  # noqa: F401 - names the off-screen GL back end before mujoco is imported
from envs.spec import Episode
from envs.suite import load_suite


@pytest.fixture(scope="session")
def dynamic():
    return load_suite("dynamic")


@pytest.fixture(scope="session")
def make_dynamic(dynamic):
    """The one environment of a task that the tests share."""
    made = {}

    def make(task):
        if task not in made:
            made[task] = dynamic.make(task)
        made[task].observing = True
        return made[task]

    yield make
    for env in made.values():
        env.close()


@pytest.fixture
def blind(make_dynamic):
    """Resets a task without rendering: `blind("target_follow", seed=3)` -> environment."""

    def reset(task, variation=0, seed=1_000_000):
        env = make_dynamic(task)
        env.observing = False
        env.reset(Episode("dynamic", task, variation, seed))
        return env

    return reset
