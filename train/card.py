"""Writes the model card of shipped weights from the runs that made them.

    python -m train.card --policies drifting=runs/train/drifting flow=runs/train/flow --encoders runs/train/encoder

Every number comes from the checkpoints' headers and the runs' `config.json` and `metrics.jsonl`. `--encoders` names the
runs of the encoder that the policies share, in the order in which they were made.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from envs.spec import InputError
from model.checkpoint import file_sha256, load_checkpoint
from model.network import parameter_count
from model.objectives import load_objective
from results.tables import NONE, markdown_table, percent
from train.errors import TRAVELLING, TURNING

CHECKPOINT = "checkpoint.safetensors"
_DEFAULTS = ("mapping", "weight_decay", "ema", "clip", "final_share", "precision", "device", "crop", "accumulate")
_GROUPS = ("all", TURNING, TRAVELLING)


@dataclass(frozen=True)
class CardConfig:
    """What the card is about.

    Attributes:
        policies: Trained policies as name=folder of the run.
        encoders: Folders of the encoder's pre-training, in order; none where encoder and trunk were trained together.
        note: What else is to be said of the encoder.
        out: The card.
    """

    policies: tuple[str, ...]
    encoders: tuple[Path, ...] = ()
    note: str = ""
    out: Path = Path("policies/checkpoints/README.md")


def card(config: CardConfig) -> str:
    """The card as Markdown.

    Raises:
        InputError: A folder holds no finished run.
    """
    parts = ["# Shipped weights", ""]
    for entry in config.policies:
        name, _, folder = entry.partition("=")
        if not folder:
            raise InputError(f"--policies takes name=folder of the run, got {entry!r}.")
        parts += _policy(name, Path(folder))
    if config.encoders:
        shared = "Shared by all policies, and pre-trained without any of their objectives"
        parts += ["## The encoder", "", f"{shared} ([docs/training.md](../../docs/training.md)).", ""]
        if config.note:
            parts += [config.note, ""]
        for run in config.encoders:
            parts += _encoder(run)
    return "\n".join(parts)


def _policy(name: str, folder: Path) -> list[str]:
    path = folder / CHECKPOINT
    checkpoint, settings = load_checkpoint(path), _settings(folder)
    facts = checkpoint.facts
    objective = load_objective(facts.objective, **facts.options)
    sampler = f"{objective.nfe} forward pass{'es' if objective.nfe > 1 else ''} a sample ({objective.sampler})"
    rows = [
        ["sha256", f"`{checkpoint.sha256}`"],
        ["format", f"safetensors, bfloat16, averaged (EMA) weights; {path.stat().st_size / 1e6:.2f} MB"],
        ["parameters", f"{parameter_count(checkpoint.network):,} (encoder and trunk)"],
        ["objective", f"{facts.objective}: {_options(facts.options)}; {sampler}"],
        [
            "inputs",
            f"RGB views {', '.join(facts.cameras)}; {len(facts.proprioception)} proprioception entries; a sentence",
        ],
        [
            "output",
            f"{facts.convention.control_mode} actions, {facts.convention.embodiment}, {facts.convention.frame} frame",
        ],
        [
            "data",
            "{episodes:,} episodes, {frames:,} frames of {suite}".format(**facts.training),
        ],
        ["training", _options(settings)],
    ]
    if "encoder" in facts.training:
        rows.insert(-1, ["encoder", f"frozen; sha256 `{facts.training['encoder']}`"])
    last = _validations(folder)[-1:]
    text = [f"## {name}", "", markdown_table(["", ""], rows, left=2)]
    if last:
        text += [
            f"Held-out demonstrations after {last[0]['step']:,} steps, one sample an observation:",
            "",
            _by_task(last[0]),
        ]
    return text


def _encoder(folder: Path) -> list[str]:
    path = folder / "encoder.safetensors"
    if not path.is_file():
        raise InputError(f"{folder} holds no encoder.safetensors: give the folder of a `python -m train.pretrain` run.")
    rows = [["sha256", f"`{file_sha256(path)}`"], ["training", _options(_settings(folder))]]
    steps = [
        [
            f"{entry['step']:,}",
            _number(entry, "all/point_cm", 2),
            _number(entry, "all/refined_cm", 2),
            _share(entry, f"{TRAVELLING}/found"),
            _number(entry, "all/rotation_deg", 1),
            _share(entry, f"{TURNING}/within_10deg"),
        ]
        for entry in _validations(folder)
    ]
    header = ["step", "views meet, cm", "close look, cm", "found within 4 cm, %", "rotation, degrees"]
    header += ["turned within 10 degrees, %"]
    legend = (
        "Held-out demonstrations: medians; found, of the frames where the hand has to go elsewhere; turned, of those "
        "where it has to turn."
    )
    return [
        f"### {folder.name}",
        "",
        markdown_table(["", ""], rows, left=2),
        legend,
        "",
        markdown_table(header, steps, 0),
    ]


def _share(entry: dict[str, Any], name: str) -> str:
    return percent(entry[name]) if name in entry else NONE


def _number(entry: dict[str, Any], name: str, digits: int) -> str:
    return f"{entry[name]:.{digits}f}" if name in entry else NONE


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{folder} holds no run of training (no config.json): check the path.")
    entries = json.loads(path.read_text())
    # Over kept features nothing is recoloured or moved.
    close = entries.get("encoder") and entries.get("part", "close") == "close"
    unused = (*_DEFAULTS, "recolour", "warp", "hard") if close else _DEFAULTS
    shown = {k: v for k, v in entries.items() if k not in unused and isinstance(v, int | float | str) and v != ""}
    if not entries.get("encoder"):
        return {name: value for name, value in shown.items() if name not in ("part", "hard")}
    return shown | {"encoder": Path(entries["encoder"]).parent.name}  # the run; folders differ by machine


def _options(entries: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in entries.items()) or "no settings"


def _validations(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [entry for entry in entries if entry["kind"] == "validation"]


def _by_task(entry: dict[str, Any]) -> str:
    names = dict.fromkeys(name.split("/")[0] for name in entry if name.endswith("/position_cm"))
    order = [name for name in _GROUPS if name in names] + sorted(name for name in names if name not in _GROUPS)
    rows: list[Sequence[str]] = [
        [
            name,
            f"{entry[f'{name}/position_cm']:.2f}",
            percent(entry[f"{name}/within_1cm"]),
            percent(entry[f"{name}/within_2cm"]),
            f"{entry[f'{name}/rotation_deg']:.1f}",
            percent(entry[f"{name}/within_10deg"]),
            percent(entry[f"{name}/gripper"]),
        ]
        for name in order
    ]
    header = ["frames of", "position, cm", "within 1 cm, %", "within 2 cm, %", "rotation, degrees"]
    return markdown_table([*header, "within 10 degrees, %", "gripper, %"], rows)


def main(args: list[str] | None = None) -> int:
    """Command line. Returns the exit code: 0, or 2 on a user's mistake."""
    config = tyro.cli(CardConfig, args=args, description=__doc__, prog="python -m train.card")
    try:
        text = card(config)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    config.out.parent.mkdir(parents=True, exist_ok=True)
    config.out.write_text(text)
    print(f"card: {config.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
