"""The bimodal gate: does an objective find both ways round an obstacle, or their average?

    python -m train.toy                                        # all objectives, three seeds
    python -m train.toy --objectives drifting mse --seeds 1    # a minute or two
    python -m train.toy --out runs/toy_long --steps 2000

Trains every objective on the same trunk, data and steps, and judges held-out samples: valid (clear of the obstacle, at
the goal, no detours), and both modes found. Writes `gate.json` and `gate.png`. The expectation: drifting gives at
least 85 % valid samples in one pass, with both modes, on every seed; regression and one-step flow fail.
Interrupted, the same command goes on after the last finished objective and seed. Exit code 1 when the gate fails.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from envs.spec import InputError
from model.objectives import REGISTRY
from train.toy_report import Entry, picture, table, verdict
from train.toy_run import OBJECTIVES, ToySettings, run

_LINE_EVERY_S = 30.0


@dataclass(frozen=True)
class ToyConfig:
    """Settings of the gate.

    Attributes:
        objectives: Which to run.
        seeds: Number of seeds.
        steps: Optimiser steps of each training.
        out: Folder of the results.
        threads: CPU threads.
    """

    objectives: tuple[str, ...] = OBJECTIVES
    seeds: int = 3
    steps: int = ToySettings.steps
    out: Path = Path("runs/toy")
    threads: int = 1


def check(config: ToyConfig) -> None:
    """Raises InputError for settings that make no sense."""
    unknown = [name for name in config.objectives if name not in REGISTRY]
    if unknown or not config.objectives:
        raise InputError(f"unknown objective {', '.join(unknown)}. Choose from: {', '.join(REGISTRY)}.")
    if min(config.seeds, config.steps, config.threads) < 1:
        raise InputError("--seeds, --steps and --threads must be at least 1.")


def take_up(path: Path, settings: ToySettings) -> dict[str, Any]:
    """The results so far, or new ones.

    Raises:
        InputError: The file holds results with other settings, or is none of ours.
    """
    wanted = asdict(settings)
    if not path.is_file():
        return {"settings": wanted, "torch": torch.__version__, "processor": platform.machine(), "entries": []}
    try:
        results: dict[str, Any] = json.loads(path.read_text())
        before = results["settings"]
        results["entries"] = list(results["entries"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} does not hold results of this program. Give another --out.") from error
    if before != wanted:
        raise InputError(f"{path} holds results with settings {before}, now they are {wanted}. Give another --out.")
    return results


def save(path: Path, results: dict[str, Any]) -> None:
    """Writes results atomically, a line an entry."""
    head = {name: value for name, value in results.items() if name != "entries"}
    entries = ",\n".join(json.dumps(entry) for entry in results["entries"])
    text = json.dumps(head, indent=1)[:-2] + f',\n "entries": [\n{entries}\n ]\n}}\n'
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)


def gate(config: ToyConfig, console: Console) -> list[Entry]:
    """Runs what is missing and writes the results.

    Returns:
        The entries of the objectives and seeds asked for.
    """
    check(config)
    torch.set_num_threads(config.threads)
    settings, path = ToySettings(steps=config.steps), config.out / "gate.json"
    results = take_up(path, settings)
    config.out.mkdir(parents=True, exist_ok=True)
    asked = [(name, seed) for seed in range(config.seeds) for name in dict.fromkeys(config.objectives)]
    done = {(entry["objective"], entry["seed"]) for entry in results["entries"]}
    todo = [unit for unit in asked if unit not in done]
    if len(todo) < len(asked):
        console.print(f"{len(asked) - len(todo)} of {len(asked)} trainings are in {path} already")
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=max(1, len(todo)) * config.steps)
        for number, (name, seed) in enumerate(todo):
            label = f"{name}, seed {seed} ({number + 1}/{len(todo)})"
            bar.update(task, description=label, completed=number * config.steps)
            began = time.monotonic()
            entries = run(name, seed, settings, _reporter(console, bar, task, label, number * config.steps, config))
            for entry in entries:
                if seed:
                    del entry["picture"]
                console.print(
                    f"{label}: {entry['sampler']}, NFE {entry['nfe']}: valid {entry['valid']:.3f}, both modes "
                    f"{entry['both_modes']:.3f}, {time.monotonic() - began:.0f} s",
                    markup=False,
                )
            results["entries"] += entries
            order = list(REGISTRY)
            results["entries"].sort(key=lambda e: (order.index(e["objective"]), -e["nfe"], e["seed"]))
            save(path, results)
    picture(results["entries"], config.out / "gate.png")
    return [entry for entry in results["entries"] if (entry["objective"], entry["seed"]) in asked]


def _reporter(
    console: Console, bar: Progress, task: Any, label: str, before: int, config: ToyConfig
) -> Callable[[int], None]:
    """Moves the bar; without a terminal, a line now and then."""
    last = time.monotonic()

    def report(step: int) -> None:
        nonlocal last
        bar.update(task, completed=before + step)
        if not console.is_terminal and time.monotonic() - last > _LINE_EVERY_S:
            last = time.monotonic()
            console.print(f"{label}: step {step}/{config.steps}", markup=False)

    return report


def main(args: list[str] | None = None) -> int:
    """Command line. Returns the exit code: 0, 1 when the gate fails, 2 on a user's mistake, 130 when interrupted."""
    config = tyro.cli(ToyConfig, args=args, description=__doc__, prog="python -m train.toy")
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    try:
        entries = gate(config, console)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on after the last finished training", file=sys.stderr)
        return 130
    console.print(f"\n{table(entries)}\n\nresults: {config.out / 'gate.json'}, {config.out / 'gate.png'}", markup=False)
    wrong = verdict(entries)
    for line in wrong:
        console.print(f"gate: {line}", markup=False)
    judged = any(entry["objective"] == "drifting" for entry in entries)
    console.print("gate failed" if wrong else "gate passed" if judged else "drifting was not run: no verdict")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
