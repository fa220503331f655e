r"""Where an encoder points wrong: a table by task and keyframe, and pictures.

    python -m train.misses --checkpoint policies/checkpoints/rlbench18_drifting.safetensors --data data/validation
    python -m train.misses --checkpoint runs/train/encoder/encoder.safetensors --data data/validation \
        --picture misses.png --markdown misses.md

All policies over one encoder share its mistakes. Looked at are frames of held-out demonstrations where the hand has to
go elsewhere. A place is found where it lies within 4 cm of the demonstrated one. The picture shows lost frames of the
worst groups in all views: a green ring where the hand should go, a red cross where the encoder points.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float, Int64
from PIL import Image, ImageDraw

from envs.spec import InputError
from model.cameras import project_all
from model.checkpoint import ENCODER, CheckpointFacts, load_checkpoint, load_encoder, read_facts
from model.encoder import Encoder, EncoderConfig
from model.text import Vocabulary
from results.tables import markdown_table, percent
from train.data import TrainingData, prepare
from train.errors import FOUND, TRAVELLING, decisions
from train.lerobot.dataset import DemoDataset, read_dataset

_BATCH = 64
_PICTURE = 192  # pixels of a view
_RING = 9  # pixels
_LINE = 22  # pixels of a caption
_FEWEST = 5  # frames of a group that says something


@dataclass(frozen=True)
class MissesConfig:
    """What is looked at.

    Attributes:
        checkpoint: A policy's weights, or a pre-trained encoder's.
        data: Held-out demonstrations.
        tasks: Tasks; all when empty.
        least: Groups (keyframes of one number of a task) with a larger share of lost frames than this get a row.
        picture: Where to save a picture of lost frames (PNG).
        frames: Frames in the picture, each from another group.
        markdown: Where to save the table.
        threads: CPU threads.
    """

    checkpoint: Path
    data: Path
    tasks: tuple[str, ...] = ()
    least: float = 0.1
    picture: Path | None = None
    frames: int = 6
    markdown: Path | None = None
    threads: int = 2


@dataclass(frozen=True)
class Misses:
    """What an encoder made of frames.

    Attributes:
        rows: The frames' rows in the data.
        found: Places, world, m.
        away: From the demonstrated place to the one that was found, m.
        nearest: From the demonstrated place to the nearest of those that were compared; to the found one where the
            encoder does not compare.
    """

    rows: Int64[torch.Tensor, " n"]
    found: Float[torch.Tensor, "n 3"]
    away: Float[np.ndarray, " n"]
    nearest: Float[np.ndarray, " n"]

    @property
    def lost(self) -> Bool[np.ndarray, " n"]:
        """Frames whose place was not found."""
        return self.away > FOUND


def read_encoder(path: Path) -> tuple[Encoder, CheckpointFacts]:
    """An encoder with calibrated cameras, from its own file or from a policy's.

    Raises:
        InputError: No such file, or nothing in it points at places.
    """
    facts = read_facts(path)
    sizes = facts.network.encoder
    if not isinstance(sizes, EncoderConfig) or not sizes.cameras:
        raise InputError(f"the encoder in {path} has no calibrated cameras: it does not point at places in space.")
    if facts.objective == ENCODER:
        encoder = Encoder(sizes)
        encoder.load_state_dict(load_encoder(path).weights)
    else:
        whole = load_checkpoint(path).network.encoder
        assert isinstance(whole, Encoder)
        encoder = whole
    return encoder.eval(), facts


@torch.no_grad()
def look(encoder: Encoder, data: TrainingData, rows: Int64[torch.Tensor, " n"]) -> Misses:
    """Lets an encoder find the places of some frames."""
    assert data.goal is not None
    found, away, nearest = [], [], []
    for piece in rows.split(_BATCH):
        batch = data.batch(piece)
        with torch.autocast("cpu", torch.bfloat16):
            glimpse = encoder.look(batch.observations)
            places = encoder.focus(batch.observations, glimpse).places
            assert places is not None and batch.goal is not None
            compared = places.refined[:, None]
            if encoder.choice is not None:
                compared = encoder.compared(batch.observations, glimpse)[0]
        found.append(places.refined.float())
        away.append((places.refined - batch.goal).norm(dim=-1).float())
        nearest.append((compared - batch.goal[:, None]).norm(dim=-1).amin(1).float())
    return Misses(rows, torch.cat(found), torch.cat(away).numpy(), torch.cat(nearest).numpy())


def groups_of(data: TrainingData, misses: Misses) -> dict[tuple[str, int], Int64[np.ndarray, " n"]]:
    """The frames of every task and number of keyframe, worst first; without groups of fewer than five."""
    assert data.keyframe is not None
    groups: dict[tuple[str, int], list[int]] = {}
    for k, row in enumerate(misses.rows.tolist()):
        groups.setdefault((data.task[row], int(data.keyframe[row])), []).append(k)
    large = ((key, rows) for key, rows in groups.items() if len(rows) >= _FEWEST)
    worst = sorted(large, key=lambda item: (-misses.lost[item[1]].mean(), item[0]))
    return {key: np.array(rows) for key, rows in worst}


def table(data: TrainingData, misses: Misses, least: float) -> str:
    """The groups with the largest shares of lost frames, and all frames, as Markdown."""
    rows = []
    groups = [*groups_of(data, misses).items(), (("all", -1), np.arange(len(misses.rows)))]
    for (task, number), mine in groups:
        lost = misses.lost[mine]
        if number >= 0 and (not lost.any() or lost.mean() <= least):
            continue
        among = percent(float((misses.nearest[mine] <= FOUND).mean()))
        middle = f"{100 * float(np.median(misses.away[mine])):.1f}"
        rows.append([task, "" if number < 0 else str(number), f"{lost.sum()}/{len(mine)}", among, middle])
    return markdown_table(("task", "keyframe", "lost", "among those compared, %", "median, cm"), rows)


def picture(
    encoder: Encoder, data: TrainingData, demos: DemoDataset, misses: Misses, frames: int
) -> Image.Image | None:
    """A lost frame of each of the worst groups; None where none is lost."""
    assert data.goal is not None
    chosen = [mine[misses.lost[mine]][0] for mine in groups_of(data, misses).values() if misses.lost[mine].any()]
    if not chosen:
        return None
    rows = misses.rows[chosen[:frames]]
    places = torch.stack([data.goal[rows], misses.found[chosen[:frames]]], dim=1)
    at = ((project_all(encoder.config.cameras, data.tip[rows], places) + 1) * _PICTURE / 2).numpy()
    views = data.images.shape[1]
    page = Image.new("RGB", (views * _PICTURE, len(rows) * (_PICTURE + _LINE)), "white")
    draw = ImageDraw.Draw(page)
    for k, row in enumerate(rows.tolist()):
        top = k * (_PICTURE + _LINE)
        draw.text((6, top + 6), f"{demos.task[row]}: {demos.instructions[row]}", "black")
        for view in range(views):
            tile = Image.fromarray(data.images[row, view].numpy()).resize(
                (_PICTURE, _PICTURE), Image.Resampling.BICUBIC
            )
            _mark(ImageDraw.Draw(tile), *at[k, view])
            page.paste(tile, (view * _PICTURE, top + _LINE))
    return page


def _mark(draw: ImageDraw.ImageDraw, goal: Float[np.ndarray, "2"], found: Float[np.ndarray, "2"]) -> None:
    if np.isfinite(goal).all():
        x, y = goal
        draw.ellipse((x - _RING, y - _RING, x + _RING, y + _RING), outline=(0, 220, 0), width=3)
    if np.isfinite(found).all():
        x, y = found
        for slope in (-1, 1):
            draw.line((x - _RING, y - slope * _RING, x + _RING, y + slope * _RING), fill=(230, 0, 0), width=3)


def run(config: MissesConfig) -> str:
    """Looks, writes what was asked for, and returns the table.

    Raises:
        InputError: Weights or demonstrations are missing, or do not fit each other.
    """
    torch.set_num_threads(config.threads)
    encoder, facts = read_encoder(config.checkpoint)
    demos = read_dataset(config.data)
    if demos.cameras != facts.cameras or demos.proprioception_names != facts.proprioception:
        raise InputError(
            f"{config.data} has cameras {demos.cameras}, the encoder {facts.cameras}; cameras and proprioception must "
            "be the same. Give demonstrations of the suite that it was trained on."
        )
    unknown = [task for task in config.tasks if task not in demos.task]
    if unknown:
        raise InputError(f"{config.data} has no task {unknown[0]!r}. It has: {', '.join(sorted(set(demos.task)))}.")
    assert isinstance(facts.vocabulary, Vocabulary)
    data = prepare(demos, True, 1, facts.normalizer, facts.vocabulary)
    away = decisions(data.tip.numpy(), demos.actions)[TRAVELLING]
    wanted = away & np.array([not config.tasks or task in config.tasks for task in demos.task])
    misses = look(encoder, data, torch.from_numpy(np.flatnonzero(wanted)))
    text = table(data, misses, config.least)
    if config.markdown is not None:
        config.markdown.write_text(text)
    if config.picture is not None:
        page = picture(encoder, data, demos, misses, config.frames)
        if page is None:
            return text + "no picture: no place was lost\n"
        page.save(config.picture)
        text += f"picture: {config.picture}\n"
    return text


def main(args: list[str] | None = None) -> int:
    """Command line. Returns 0, or 2 for a mistake in the input."""
    config = tyro.cli(MissesConfig, args=args, description=__doc__, prog="python -m train.misses")
    try:
        print(run(config), end="")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
