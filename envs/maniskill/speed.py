"""Steps a second of ManiSkill's tasks, and what the benchmark costs over the bare simulator.

    python -m envs.maniskill.speed --suite maniskill5 --tasks PickCube-v1

In each process rounds alternate: an episode by the runner (zero policy, adapter, record), and the same reset, commands
and pictures asked of ManiSkill directly. The overhead is the median of the rounds' ratios of processor time, which
holds on a busy machine, too; steps a second do not.
"""

import multiprocessing
import queue
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tyro
from jaxtyping import Float

from envs.maniskill import install
from envs.maniskill.env import ManiSkillEnv
from envs.maniskill.simulation import Simulation
from envs.maniskill.tasks import TASKS, WRIST_ROBOT
from envs.play import play_episode
from envs.spec import Episode, InputError, SimulatorError
from envs.suite import Suite, load_suite
from policies.zero import ZeroPolicy


@dataclass(frozen=True)
class SpeedConfig:
    """What to measure.

    Attributes:
        suite: Suite whose tasks are measured.
        tasks: Tasks; all of the suite when empty.
        steps: Actions an episode.
        rounds: Rounds, after one that does not count.
        workers: Numbers of processes that run at once.
        views: Numbers of cameras; 0 is the state alone.
    """

    suite: str = "maniskill5"
    tasks: tuple[str, ...] = ()
    steps: int = 50
    rounds: int = 5
    workers: tuple[int, ...] = (1, 2)
    views: tuple[int, ...] = (0, 1, 2)


def seen_by(suite: Suite, task: str, views: int, steps: int) -> Suite:
    """The suite with other cameras and shorter episodes.

    Raises:
        InputError: More than two cameras, or less than none.
    """
    if not 0 <= views <= 2:
        raise InputError(f"--views takes 0, 1 and 2, not {views}.")
    two_arms = TASKS[task].arms == 2
    cameras = ("render", "left_wrist" if two_arms else "wrist")[:views]
    robot = WRIST_ROBOT if views == 2 and not two_arms else suite.options["robot"]
    options = suite.options | {"control": "joints", "robot": robot}
    return replace(suite, cameras=cameras, max_steps=steps, options=options)


def rounds_of(env: ManiSkillEnv, episodes: list[Episode]) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Wall seconds and processor seconds of an episode by the runner, then of the same by the simulator alone."""
    for episode in episodes:
        begin = _now()
        record = play_episode(env, ZeroPolicy(), episode, 1)
        end = _now()
        commands = [env.control.command(env.spec.embodiment.encode(np.array(action))) for action in record.actions]
        again = _now()
        _bare(env.simulation, episode, commands)
        yield _since(begin, end), _since(again, _now())


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(begin: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    return end[0] - begin[0], end[1] - begin[1]


def _bare(simulation: Simulation, episode: Episode, commands: list[np.ndarray]) -> None:
    simulation.reset(episode.seed)
    simulation.pictures()
    for command in commands:
        simulation.step(command)
        simulation.pictures()


def _work(suite: Suite, task: str, config: SpeedConfig, together: Any, answers: Any) -> None:
    env = suite.make(task)
    assert isinstance(env, ManiSkillEnv)
    try:
        warm_up, *episodes = suite.episodes(task, "train", config.rounds + 1)
        list(rounds_of(env, [warm_up]))
        together.wait()
        answers.put(list(rounds_of(env, episodes)))
    finally:
        env.close()


def measured(suite: Suite, task: str, config: SpeedConfig, workers: int) -> Float[np.ndarray, "workers rounds 2 2"]:
    """Seconds [workers, rounds, 2, 2]: by the runner and bare; of wall time and of the processor's."""
    context = multiprocessing.get_context("spawn")
    together, answers = context.Barrier(workers), context.Queue()
    started = [
        context.Process(target=_work, args=(suite, task, config, together, answers), daemon=True)
        for _ in range(workers)
    ]
    for process in started:
        process.start()
    try:
        return np.array([_answer(started, answers) for _ in started])
    finally:
        for process in started:
            process.join(timeout=30)
            process.kill()


def _answer(started: list[Any], answers: Any) -> list[Any]:
    while True:
        try:
            answer: list[Any] = answers.get(timeout=1.0)
            return answer
        except queue.Empty:
            if any(process.exitcode for process in started):
                raise SimulatorError("a simulator process died") from None


def row(task: str, views: int, seconds: Float[np.ndarray, "workers rounds 2 2"], steps: int) -> str:
    """A line of the table.

    Args:
        task: The task.
        views: Cameras.
        seconds: What `measured` gives.
        steps: Actions an episode.
    """
    workers, rounds = seconds.shape[:2]
    runner, bare = (rounds * steps / seconds[..., 0].sum(1)).sum(0)
    work = seconds[..., 1]
    overhead = 100 * float(np.median(work[..., 0] / work[..., 1] - 1))
    return f"| {task} | {views} | {workers} | {runner:.0f} | {bare:.0f} | {overhead:.1f} |"


def main() -> int:
    """Prints a table; returns 0, 1 (simulator) or 2 (input)."""
    config = tyro.cli(SpeedConfig, description=__doc__, prog="python -m envs.maniskill.speed")
    try:
        suite = load_suite(config.suite)
        suite.check_tasks(config.tasks)
        install.check_packages()
        install.check_driver()
        print("| task | cameras | workers | steps/s | bare steps/s | overhead, % |")
        print("| :-- | --: | --: | --: | --: | --: |", flush=True)
        for task in config.tasks or suite.tasks:
            for views in config.views:
                seen = seen_by(suite, task, views, config.steps)
                for workers in config.workers:
                    print(row(task, views, measured(seen, task, config, workers), config.steps), flush=True)
    except SimulatorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
