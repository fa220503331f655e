"""Every task as a Gymnasium environment: `gymnasium.make("drifting_vla/<suite>-<task>-v0")` after `import envs`."""

import copy
import string
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.spec import Env, Episode, Observation, TaskSpec
from envs.suite import load_suite, suite_names
from model.actions import ACTION_DIM, ActionError, check_action

NAMESPACE = "drifting_vla"
# Printable ASCII without control characters: what instructions are written in.
_CHARACTERS = string.ascii_letters + string.digits + string.punctuation + " "
_MAX_INSTRUCTION = 256


def register_all() -> None:
    """Registers every task of every suite that ships with the package. Reads the suite files; imports no simulator."""
    for name in suite_names():
        for task in load_suite(name).tasks:
            gymnasium.register(
                id=f"{NAMESPACE}/{name}-{task}-v0",
                entry_point="envs.gym_env:TaskEnv",
                kwargs={"suite": name, "task": task},
            )


def observation_space(spec: TaskSpec) -> spaces.Dict:
    """The space of a task's observations, as `envs.spec.Observation` describes them."""
    images: dict[str, spaces.Space[Any]] = {
        view.name: spaces.Box(0, 255, (view.height, view.width, 3), np.uint8) for view in spec.cameras
    }
    return spaces.Dict(
        {
            "images": spaces.Dict(images),
            "proprioception": spaces.Box(-np.inf, np.inf, (len(spec.proprioception),), np.float32),
            "instruction": spaces.Text(_MAX_INSTRUCTION, charset=_CHARACTERS),
        }
    )


def action_space(spec: TaskSpec) -> spaces.Box:
    """The task's bounds on its embodiment's slots, -1 .. 1 on the others, which are ignored.

    An absolute pose also needs a unit quaternion, which a box cannot say: sampled actions are mostly invalid.
    """
    unused = ~spec.embodiment.mask
    low = spec.embodiment.encode(np.array(spec.action_low)) - unused
    high = spec.embodiment.encode(np.array(spec.action_high)) + unused
    return spaces.Box(low.astype(np.float32), high.astype(np.float32), (ACTION_DIM,), np.float32)


class TaskEnv(gymnasium.Env[Observation, np.ndarray]):
    """One task. Reward 1 in the step that succeeds, else 0.

    An episode terminates when the task succeeds (where its rule is success at any time) or an action cannot be carried
    out, and is truncated after the task's number of steps. `info` holds `success`, `failure` and `planner_failure`.

    Args:
        suite: Suite name.
        task: Task name.
        sim: Simulator back end; None for the suite's first.
        render_mode: "rgb_array" or None.

    Raises:
        InputError: Unknown suite, task or simulator, or the simulator is not installed.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 - Gymnasium's own declaration

    def __init__(self, suite: str, task: str, sim: str | None = None, render_mode: str | None = None) -> None:
        self._suite = load_suite(suite)
        self.env: Env = self._suite.make(task, sim)
        self.task_spec = self.env.spec
        self.observation_space = observation_space(self.task_spec)
        self.action_space = action_space(self.task_spec)
        self.render_mode = render_mode
        self.episode: Episode | None = None
        self._observation: Observation = {}
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: Seed of the episode; None draws one from the suite's training block, never from its test seeds.
            options: `{"variation": int}`; by default the variation is drawn.
        """
        super().reset(seed=seed)
        if seed is None:
            block = self._suite.seeds["train"]
            seed = int(self.np_random.integers(block.start, block.stop))
        drawn = int(self.np_random.integers(self.task_spec.variations))
        variation = int((options or {}).get("variation", drawn))
        self.episode = Episode(self.task_spec.suite, self.task_spec.task, variation, seed)
        self._steps = 0
        self._observation = self.env.reset(self.episode)
        return self._observation, {"episode": self.episode.id, "variation": variation}

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carries out one action [128]. An invalid one ends the episode, as it does in an evaluation."""
        self._steps += 1
        try:
            check_action(action, self.task_spec.embodiment)
        except ActionError as error:
            info = {"success": False, "failure": f"invalid action: {error}", "planner_failure": False}
            # A copy: callers keep the observations they are given.
            return copy.deepcopy(self._observation), 0.0, True, False, info
        self._observation, done, outcome = self.env.step(np.asarray(action, dtype=np.float32))
        terminated = done or outcome.failure is not None
        truncated = not terminated and self._steps >= self.task_spec.max_steps
        info = {"success": outcome.success, "failure": outcome.failure, "planner_failure": outcome.planner_failure}
        return self._observation, float(outcome.success), terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """A picture of the scene, uint8 [height, width, 3], when `render_mode` is "rgb_array"."""
        return self.env.render() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Frees the simulator."""
        self.env.close()
