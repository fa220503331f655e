"""Names of runs that stand side by side."""

from collections import Counter
from collections.abc import Sequence

from results.records import Run


def labels_of(runs: Sequence[Run]) -> list[str]:
    """Policy names; where two runs share one, the run's file, folder and at last a number tell them apart."""
    labels = [run.header.policy.name for run in runs]
    for addition in (lambda run: run.path.stem, lambda run: run.path.resolve().parent.name):
        twice = {label for label, count in Counter(labels).items() if count > 1}
        labels = [
            f"{label} · {addition(run)}" if label in twice else label for label, run in zip(labels, runs, strict=True)
        ]
        if len(set(labels)) == len(labels):
            return labels
    counts: Counter[str] = Counter()
    for k, label in enumerate(labels):
        counts[label] += 1
        labels[k] = label if counts[label] == 1 else f"{label} ({counts[label]})"
    return labels
