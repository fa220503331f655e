"""Validation rollouts: while a policy is trained, its averaged weights play the suite's validation episodes."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from envs.progress import rate_text
from envs.runner import Evaluation, EvaluationPlan
from envs.spec import Episode, InputError
from envs.suite import load_suite
from envs.worker import WorkerPlan
from results.records import EpisodeRecord, Header, Run
from train.config import TrainConfig

# The test seeds are for the finished policy alone: nothing is chosen by looking at them.
SEEDS = "validation"


@dataclass(frozen=True)
class RolloutResult:
    """What a rollout found.

    Attributes:
        numbers: `success` (mean of the tasks) with its 95 % Wilson interval `success_low`, `success_high`; `n` and
            `errors`, episodes; `<task>/success`.
        text: The same in one line.
    """

    numbers: dict[str, float]
    text: str


class Rollouts:
    """The validation rollouts of a training run. Records go to <run>/rollouts/step_<n>.jsonl.

    Args:
        config: Settings of the run.
        checkpoint: File that holds the weights to play, when `play` is called.
        device: What the policy runs on; the run's own device when left out.
        policy: Name of the policy that plays the checkpoint; the objective's when left out.

    Raises:
        InputError: The settings ask for tasks or episodes that the suite does not have.
    """

    def __init__(
        self, config: TrainConfig, checkpoint: Path | None, device: str | None = None, policy: str | None = None
    ) -> None:
        suite = load_suite(config.suite)
        self._worker = WorkerPlan(
            suite=suite,
            sim=suite.resolve_sim(None),
            policy=policy or config.objective,
            checkpoint=None if checkpoint is None else str(checkpoint),
            device=device or config.device,
        )
        self._config, self._episodes = config, rollout_episodes(config)
        self._evaluation: Evaluation | None = None
        self._stopped = False

    def due(self, step: int) -> bool:
        """Whether there is a rollout after this step: every `rollout_every` steps, and after the last."""
        every = self._config.rollout_every
        return every > 0 and step > 0 and (step % every == 0 or step == self._config.steps)

    def play(self, step: int, show: Callable[[str], None]) -> RolloutResult:
        """Plays the episodes that the step's record lacks, in a process of its own.

        Args:
            step: Steps done.
            show: Is told how it goes.

        Raises:
            KeyboardInterrupt: It was stopped; what was played is kept, and not played again.
            InputError: The simulator cannot be had, or the policy does not fit the suite.
            SimulatorError: The simulator died while it was built.
            RuntimeError: A defect in policy or adapter.
        """
        plan = EvaluationPlan(
            worker=self._worker,
            episodes=self._episodes,
            seed_block=SEEDS,
            out=self._record(step),
            resume=True,
            config=json.loads(json.dumps(asdict(self._config), default=str)) | {"step": step, "seeds": SEEDS},
        )
        show("rollout: starting policy and simulator")
        try:
            self._evaluation = Evaluation(plan)
            if self._stopped:
                raise KeyboardInterrupt
            run = self._evaluation.run(_Teller(show))
        finally:
            self._evaluation = None
        if run is None or run.missing:
            raise KeyboardInterrupt
        return summary(run)

    def stop(self, at_once: bool = False) -> None:
        """Ends the rollout under way after its episode; for signal handlers.

        Args:
            at_once: Do not wait for the episode.

        Raises:
            KeyboardInterrupt: At once, or nothing is played yet.
        """
        self._stopped = True
        if self._evaluation is None:
            return
        self._evaluation.stop()
        if at_once or not self._evaluation.playing:
            raise KeyboardInterrupt
        print("\nstopping after the episode under way; once more to stop at once", file=sys.stderr)

    def forget_after(self, step: int) -> None:
        """Deletes the records of later steps, whose weights were lost with an unsaved state."""
        for path in self._record(0).parent.glob("step_*.jsonl"):
            number = path.stem.removeprefix("step_")
            if number.isdecimal() and int(number) > step:
                path.unlink()

    def _record(self, step: int) -> Path:
        return self._config.folder / "rollouts" / f"step_{step}.jsonl"


def rollout_episodes(config: TrainConfig) -> tuple[Episode, ...]:
    """The episodes of each rollout, always the same: the first of each task's validation seeds.

    Raises:
        InputError: The suite does not have these tasks, or not as many episodes.
    """
    suite = load_suite(config.suite)
    suite.check_tasks(config.rollout_tasks)
    most = suite.seeds[SEEDS].count
    if not 1 <= config.rollout_episodes <= most:
        raise InputError(f"--rollout-episodes must lie between 1 and {most}, got {config.rollout_episodes}.")
    tasks = [task for task in suite.tasks if task in (config.rollout_tasks or suite.tasks)]
    return tuple(episode for task in tasks for episode in suite.episodes(task, SEEDS, config.rollout_episodes))


def summary(run: Run) -> RolloutResult:
    """A complete record in numbers and in one line. Errors count as failures."""
    # Here, not above: each worker process imports this file with the CLI, and scipy takes a second.
    from results.rates import rates_by_task
    from results.stats import task_mean

    rates = rates_by_task(run.episodes)
    mean = task_mean(rates.values())
    low, high = mean.interval()
    errors = [record.error for record in run.episodes if record.outcome == "error"]
    numbers = {"success": mean.value, "success_low": low, "success_high": high, "n": mean.n, "errors": len(errors)}
    tasks = ", ".join(f"{task} {100 * rate.value:.0f} %" for task, rate in rates.items())
    text = f"rollout on {SEEDS} seeds: success {rate_text(run.episodes)}, n {mean.n} ({tasks})"
    if errors:
        text += f"; errors {len(errors)}, counted as failures, the first: {errors[0]}"
    return RolloutResult(numbers | {f"{task}/success": rate.value for task, rate in rates.items()}, text)


class _Teller:
    """Tells in a line how an evaluation goes; see `envs.runner.Reporter`."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._records: list[EpisodeRecord] = []
        self._total = 0

    def start(self, header: Header, done: tuple[EpisodeRecord, ...]) -> None:
        self._records, self._total = list(done), len(header.planned)
        self._tell()

    def episode(self, record: EpisodeRecord) -> None:
        self._records.append(record)
        self._tell()

    def _tell(self) -> None:
        self._show(f"rollout {len(self._records)}/{self._total} episodes, success {rate_text(self._records)}")
