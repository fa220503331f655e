"""The toy gate's table, verdict and picture."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from train import toy_task

VALID, BOTH = 0.85, 0.95  # what drifting must reach on every seed
FAILED = 0.5  # what averaging objectives must stay under on every seed
AVERAGING = (("mse", 1), ("flow", 1))  # objective, forward passes

Entry = dict[str, Any]


def verdict(entries: list[Entry]) -> list[str]:
    """What contradicts the expectation; empty when the gate is passed.

    Drifting gives valid samples (0.85 of them) of both modes (in 0.95 of the scenes) on every seed. Regression and
    one Euler step of a flow average, and fail. Objectives that were not run are not judged.
    """
    wrong = []
    for entry in entries:
        who = f"{entry['objective']}, {entry['sampler']}, seed {entry['seed']}"
        valid, both = entry["valid"], entry["both_modes"]
        if entry["objective"] == "drifting" and (valid < VALID or both < BOTH):
            wrong.append(f"{who}: valid {valid:.3f} (needs {VALID}), both modes {both:.3f} (needs {BOTH})")
        if (entry["objective"], entry["nfe"]) in AVERAGING and valid >= FAILED:
            wrong.append(f"{who}: valid {valid:.3f}, expected under {FAILED}: the task does not punish averages")
    return wrong


def grouped(entries: list[Entry]) -> dict[tuple[str, str, int], list[Entry]]:
    """Entries of all seeds by objective, sampler and forward passes."""
    groups: dict[tuple[str, str, int], list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: e["seed"]):
        groups.setdefault((entry["objective"], entry["sampler"], entry["nfe"]), []).append(entry)
    return groups


def table(entries: list[Entry]) -> str:
    """A Markdown table: mean over seeds, and the worst seed."""
    lines = [
        "| objective | sampler | NFE | seeds | valid | worst seed | both modes | worst seed | rarer side |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (objective, sampler, nfe), group in grouped(entries).items():
        valid, both, minority = (np.array([e[key] for e in group]) for key in ("valid", "both_modes", "minority"))
        lines.append(
            f"| {objective} | {sampler} | {nfe} | {len(group)} | {valid.mean():.3f} | {valid.min():.3f} "
            f"| {both.mean():.3f} | {both.min():.3f} | {minority.mean():.2f} |"
        )
    return "\n".join(lines)


def picture(entries: list[Entry], path: Path) -> None:
    """Draws the samples of one scene, a panel for each objective and sampler (first seed)."""
    groups = grouped(entries)
    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(groups) :]:
        panel.set_axis_off()
    for panel, ((objective, sampler, _), group) in zip(panels, groups.items(), strict=False):
        _draw(panel, np.array(group[0]["picture"]))
        panel.set_title(f"{objective} ({sampler}): {100 * np.mean([e['valid'] for e in group]):.0f} % valid", size=9)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _draw(panel: Axes, chunks: np.ndarray) -> None:
    scene = toy_task.picture_scene()
    (disc,), (goal,) = scene.disc, scene.goal
    valid = toy_task.judge(scene, chunks[None]).valid[0]
    panel.add_patch(Circle((disc, disc * goal), toy_task.RADIUS, color="0.75", linewidth=0))
    for chunk, good in zip(chunks, valid, strict=True):
        way = np.concatenate([np.zeros((1, 2)), chunk])
        panel.plot(*way.T, color="tab:blue" if good else "tab:red", linewidth=0.9, alpha=0.7)
    panel.plot(0, 0, "ko", markersize=4)
    panel.plot(1, goal, "k*", markersize=8)
    panel.set(xlim=(-0.1, 1.15), ylim=(-0.5, 0.65), aspect="equal", xticks=[], yticks=[])
