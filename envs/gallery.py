"""Draws contact sheets of a suite's tasks: an episode's start and end with the expert, and another variation's start.

Examples:
- python -m envs.gallery --suite rlbench18
- python -m envs.gallery --suite rlbench18 --tasks turn_tap open_drawer --size 384 --out /tmp/gallery
- python -m envs.gallery --suite mock --out /tmp/mock --seed-block validation
"""

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from jaxtyping import UInt8
from PIL import Image

from envs.sheets import Scene, View, contact_sheet, overview, save
from envs.spec import Env, Episode, InputError, Observation, SimulatorError
from envs.suite import Suite, load_suite

_SIZES = (32, 720)  # pixels
_EPISODES = 50  # among which another variation is looked for


@dataclass(frozen=True)
class Config:
    """What to draw."""

    suite: str
    """Name of a suite, or path of a suite's YAML file."""
    tasks: tuple[str, ...] = ()
    """Tasks to draw; by default all of the suite's, and only then an overview of all as well."""
    out: Path | None = None
    """Folder of the pictures, <task>.png and overview.png; by default runs/gallery/<suite>."""
    seed_block: Literal["train", "validation", "test"] = "train"
    """Block of seeds whose first episode is shown, and the first one of another variation."""
    size: int = 256
    """Height and width of each camera's picture, pixels."""
    sim: str | None = None
    """Simulator back end; by default the suite's first."""

    @property
    def folder(self) -> Path:
        """Where the pictures go."""
        return self.out or Path("runs/gallery") / Path(self.suite).stem


def play(env: Env, episode: Episode, size: int, other: Episode | None = None) -> Scene:
    """Has the expert play an episode and takes pictures before and after.

    Args:
        env: Environment of the episode's task.
        episode: What to play.
        size: Height and width of the pictures, pixels.
        other: An episode of another variation, of which the start is shown.

    Raises:
        InputError: The task has no scripted expert.
    """
    aside = _view(env, env.reset(other), other, size) if other is not None else None
    observation = env.reset(episode)
    start = _view(env, observation, episode, size)
    actions, success = 0, False
    for _ in range(env.spec.max_steps):
        try:
            action = env.expert_action()
        except NotImplementedError as error:
            raise InputError(f"{error}: leave it out of --tasks.") from None
        result = env.step(action)
        actions, success = actions + 1, success or result.info.success
        if result.done:
            break
    return Scene(episode.task, start, _view(env, result.observation, episode, size), aside, actions, success)


def _view(env: Env, observation: Observation, episode: Episode, size: int) -> View:
    return View(pictures(env, observation, size), episode.variation, observation["instruction"])


def pictures(env: Env, observation: Observation, size: int) -> dict[str, Image.Image]:
    """What every camera sees now: drawn for people where the environment can (`picture`), else as observed."""
    images: dict[str, UInt8[np.ndarray, "h w 3"]]
    if hasattr(env, "picture"):
        images = {camera.name: env.picture(camera.name, size, size) for camera in env.spec.cameras}
    else:
        images = observation["images"]
    return {
        name: Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS) for name, image in images.items()
    }


def draw_gallery(config: Config) -> int:
    """Draws what a configuration asks for.

    Returns:
        Number of tasks that the simulator failed in; the others are drawn, and the overview only of all.

    Raises:
        InputError: It asks for something that does not exist.
    """
    suite = load_suite(config.suite)
    suite.check_tasks(config.tasks)
    if len(set(config.tasks)) < len(config.tasks):
        raise InputError("--tasks names a task twice: name each once.")
    if not _SIZES[0] <= config.size <= _SIZES[1]:
        raise InputError(f"--size must lie between {_SIZES[0]} and {_SIZES[1]}, got {config.size}.")
    if config.folder.exists() and not config.folder.is_dir():
        raise InputError(f"--out {config.folder} is a file: name a folder.")
    tasks = [task for task in suite.tasks if task in (config.tasks or suite.tasks)]
    scenes = []
    env: Env | None = None
    try:
        for task in tasks:
            try:
                env = _turn_to(env, suite, task, config.sim)
                scene = _play_first(env, suite, task, config)
            except SimulatorError as error:
                print(f"{task}: not drawn: {error}", file=sys.stderr, flush=True)
                continue
            _save_sheet(config, scene)
            scenes.append(scene)
    finally:
        if env is not None:
            env.close()
    if len(scenes) == len(suite.tasks):
        path = config.folder / "overview.png"
        save(overview(scenes), path)
        print(f"{path}: {len(scenes)} tasks, {path.stat().st_size / 1000:.0f} kB", flush=True)
    return len(tasks) - len(scenes)


def _turn_to(env: Env | None, suite: Suite, task: str, sim: str | None) -> Env:
    """An environment of the task: the given one where it can change its task (its simulator goes on), or a new one."""
    if env is not None:
        with suppress(SimulatorError):
            if env.change_task(task):
                return env
        with suppress(RuntimeError):  # what broke need not close well
            env.close()
    return suite.make(task, sim)


def _play_first(env: Env, suite: Suite, task: str, config: Config) -> Scene:
    first, *others = suite.episodes(task, config.seed_block, _EPISODES)
    other = next((episode for episode in others if episode.variation != first.variation), None)
    return play(env, first, config.size, other)


def _save_sheet(config: Config, scene: Scene) -> None:
    path = config.folder / f"{scene.task}.png"
    save(contact_sheet(scene), path)
    outcome = "success" if scene.success else "no success"
    print(f"{path}: {outcome} after {scene.actions} actions, {path.stat().st_size / 1000:.0f} kB", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Command line entry. Returns the exit code: 0, 1 when the simulator failed in a task, 2 for bad input."""
    described = Annotated[Config, tyro.conf.arg(name="")]
    config = tyro.cli(described, args=arguments, description=__doc__, prog="python -m envs.gallery")
    try:
        return int(draw_gallery(config) > 0)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
