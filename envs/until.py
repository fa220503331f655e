"""Plays two policies on the same episodes until one is shown to be better, or the episodes are used up.

They play in rounds, one episode of every task: the first policy a whole round, then the second. Only then does
`results.sequential.decide` look at the outcomes. So where it stops depends neither on the number of workers nor on the
order in which episodes end, and a run that goes on after an interruption stops where an uninterrupted one does.
"""

from collections.abc import Sequence

from rich.console import Console

from envs.console import interruptible, title
from envs.progress import VersusReporter, print_errors
from envs.runner import Evaluation, EvaluationPlan, Reporter
from envs.spec import InputError
from results.anytime import check_alpha
from results.comparison import compare
from results.comparison_text import as_text
from results.paired import PairingError
from results.records import RecordError, read_run
from results.sequential import Decision, decide, task_rounds
from results.verdict import MARGIN


class Versus:
    """Two evaluations in step. `stop` may be called at any time, also from a signal handler.

    Each policy has workers of its own, which wait while the other plays.

    Args:
        plans: Of the two policies, on the same episodes: as many of every task.
        alpha: Chance, at most, of calling one better when they are equal.

    Raises:
        InputError: See `Evaluation`.
        ValueError: An impossible alpha, or other numbers of plans or episodes.
    """

    def __init__(self, plans: Sequence[EvaluationPlan], alpha: float) -> None:
        check_alpha(alpha)
        first, second = plans
        if first.episodes != second.episodes:
            raise ValueError("both policies play the same episodes")
        self._rounds = task_rounds(first.episodes)
        self._evaluations = [Evaluation(plan) for plan in plans]
        self._alpha = alpha
        self._stopped = False
        self.playing = False  # False while policies and simulators are built

    def run(self, reporters: Sequence[Reporter]) -> Decision:
        """Plays rounds, without what the records hold already, until it is decided.

        Args:
            reporters: One for each policy.

        Returns:
            What it has come to; not over when it was stopped.

        Raises:
            InputError: Something the user asked for cannot be; unless episodes were played before it turned out,
                nothing is written.
            RuntimeError: A defect in a policy's or the adapter's set-up.
        """
        try:
            return self._run(reporters)
        except RecordError as error:
            raise InputError(str(error)) from error
        finally:
            for evaluation in self._evaluations:
                evaluation.close()

    def stop(self) -> int:
        """Starts no further episodes; those under way end normally. Returns their number."""
        self._stopped = True
        return sum(evaluation.stop() for evaluation in self._evaluations)

    def _run(self, reporters: Sequence[Reporter]) -> Decision:
        solved: list[dict[str, bool]] = []  # episode id -> whether the policy solved it
        for evaluation, reporter in zip(self._evaluations, reporters, strict=True):
            earlier = evaluation.open(reporter)
            solved.append({record.id: record.outcome == "success" for record in earlier})
        self._check_protocols()
        self.playing = True
        first, second = solved
        ids = [[episode.id for episode in of_round] for of_round in self._rounds]
        while not (decision := decide(ids, first, second, self._alpha)).over and not self._stopped:
            for evaluation, outcomes in zip(self._evaluations, solved, strict=True):
                for record in evaluation.play(self._rounds[decision.rounds]):
                    outcomes[record.id] = record.outcome == "success"
        return decision

    def _check_protocols(self) -> None:
        """Before anything is played: times measured on a GPU and on a CPU make two protocols, for example."""
        first, second = (evaluation.header.protocol_hash for evaluation in self._evaluations)
        if first != second:
            raise InputError(
                f"the two policies would be played under different protocols ({first} and {second}), as measured "
                "latency on different devices is: give --latency as a time or a trace."
            )


def compare_in_console(plans: Sequence[EvaluationPlan], alpha: float) -> bool:
    """Plays two policies until it is decided which is better, and prints what came out.

    Returns:
        Whether it was interrupted before.

    Raises:
        InputError: The plans cannot be run.
    """
    versus, plan = Versus(plans, alpha), plans[0]
    reporter = VersusReporter(title(plan), [plan.worker.label for plan in plans], len(plan.tasks), plan.workers)
    try:
        decision, stopped = interruptible(versus, lambda: versus.run(reporter.sides))
    finally:
        reporter.close()
    if decision is None or (stopped and not decision.over):
        return True
    print_comparison(plans, reporter.console)
    return False


def print_comparison(plans: Sequence[EvaluationPlan], console: Console) -> None:
    """What the records of both policies show, their errors, and where they are.

    Raises:
        InputError: A record is damaged, or they do not belong together.
    """
    try:
        named = [(plan.worker.label, read_run(plan.out)) for plan in plans]
        text = as_text(named, compare(named), MARGIN)
    except (RecordError, PairingError) as error:
        raise InputError(str(error)) from error
    console.print(text, markup=False)
    for policy, run in named:
        print_errors(run, console, policy)
    for policy, run in named:
        console.print(f"record of {policy}: {run.path}", markup=False)
