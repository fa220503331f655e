"""Draws contact sheets of a suite's tasks: every camera at the start of an episode and after the expert has played it.

Examples:
- python -m envs.gallery --suite rlbench18
- python -m envs.gallery --suite rlbench18 --tasks turn_tap open_drawer --size 384 --out /tmp/gallery
- python -m envs.gallery --suite mock --out /tmp/mock --seed-block validation
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from envs.spec import Env, Episode, InputError, Observation
from envs.suite import load_suite

OVERVIEW_WIDTH = 1200  # pixels
_OVERVIEW_COLUMNS = 6
_GAP, _MARGIN = 6, 14  # pixels between pictures, and around them
_PAPER, _INK, _PALE = (255, 255, 255), (30, 34, 40), (105, 112, 122)
_SIZES = (32, 720)  # pixels


@dataclass(frozen=True)
class Config:
    """What to draw."""

    suite: str
    """Name of a suite, or path of a suite's YAML file."""
    tasks: tuple[str, ...] = ()
    """Tasks to draw; by default all of the suite's, and only then an overview of all as well."""
    out: Path = Path("docs/gallery")
    """Folder of the pictures: <task>.png and overview.png."""
    seed_block: Literal["train", "validation", "test"] = "train"
    """Block of seeds whose first episode is shown."""
    size: int = 256
    """Height and width of each camera's picture, pixels."""
    sim: str | None = None
    """Simulator back end; by default the suite's first."""


@dataclass(frozen=True)
class Scene:
    """One episode in pictures.

    Attributes:
        task: Task name.
        instruction: The sentence of the episode.
        start: Camera name -> picture at the start.
        end: Camera name -> picture after the last action.
        actions: Number of the expert's actions.
        success: Whether they solved the task.
    """

    task: str
    instruction: str
    start: dict[str, Image.Image]
    end: dict[str, Image.Image]
    actions: int
    success: bool


def play(env: Env, episode: Episode, size: int) -> Scene:
    """Has the expert play an episode and takes pictures before and after.

    Args:
        env: Environment of the episode's task.
        episode: What to play.
        size: Height and width of the pictures, pixels.

    Raises:
        InputError: The task has no scripted expert.
    """
    observation = env.reset(episode)
    start = pictures(env, observation, size)
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
    end = pictures(env, result.observation, size)
    return Scene(episode.task, observation["instruction"], start, end, actions, success)


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


def contact_sheet(scene: Scene) -> Image.Image:
    """Start over end, a column a camera."""
    size = next(iter(scene.start.values())).width
    title, small = _font(20), _font(14)
    left, top = _MARGIN + 22, _MARGIN + 54
    width = left + len(scene.start) * (size + _GAP) - _GAP + _MARGIN
    sheet = Image.new("RGB", (width, top + 2 * size + _GAP + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((left, _MARGIN), scene.instruction, _INK, title)
    outcome = "success" if scene.success else "no success"
    for row, (images, label) in enumerate(((scene.start, "start"), (scene.end, f"end: {outcome}"))):
        y = top + row * (size + _GAP)
        _write_upwards(sheet, label, x=_MARGIN, y=y, height=size)
        for column, (camera, image) in enumerate(images.items()):
            x = left + column * (size + _GAP)
            sheet.paste(image, (x, y))
            if row == 0:
                draw.text((x + size / 2, top - 6), camera, _PALE, small, anchor="ms")
    return sheet


def overview(scenes: list[Scene]) -> Image.Image:
    """All tasks from the front camera (the first one where a suite has no such camera), start over end."""
    columns = min(_OVERVIEW_COLUMNS, len(scenes))
    size = (OVERVIEW_WIDTH - 2 * _MARGIN - (columns - 1) * _GAP) // columns
    caption = 22
    band = caption + 2 * size + _GAP + _MARGIN
    rows = -(-len(scenes) // columns)
    sheet = Image.new("RGB", (OVERVIEW_WIDTH, _MARGIN + rows * band), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for k, scene in enumerate(scenes):
        x, y = _MARGIN + k % columns * (size + _GAP), _MARGIN + k // columns * band
        camera = "front" if "front" in scene.start else next(iter(scene.start))
        draw.text((x + size / 2, y + caption - 7), scene.task, _INK, _font(13), anchor="ms")
        for row, image in enumerate((scene.start[camera], scene.end[camera])):
            small = image.resize((size, size), Image.Resampling.LANCZOS)
            sheet.paste(small, (x, y + caption + row * (size + _GAP)))
    return sheet


def save(sheet: Image.Image, path: Path) -> None:
    """Writes a PNG with a palette of its own: a third of the bytes, no difference to the eye."""
    path.parent.mkdir(parents=True, exist_ok=True)
    reduced = sheet.quantize(palette=_palette(sheet), dither=Image.Dither.NONE)
    # The nearest shade of the palette is not quite the paper's: make it so.
    paper, colours = reduced.getpixel((0, 0)), reduced.getpalette()
    assert isinstance(paper, int) and colours is not None
    colours[3 * paper : 3 * paper + 3] = _PAPER
    reduced.putpalette(colours)
    reduced.save(path, optimize=True)


def draw_gallery(config: Config) -> None:
    """Draws what a configuration asks for.

    Raises:
        InputError: It asks for something that does not exist.
    """
    suite = load_suite(config.suite)
    suite.check_tasks(config.tasks)
    if len(set(config.tasks)) < len(config.tasks):
        raise InputError("--tasks names a task twice: name each once.")
    if not _SIZES[0] <= config.size <= _SIZES[1]:
        raise InputError(f"--size must lie between {_SIZES[0]} and {_SIZES[1]}, got {config.size}.")
    if config.out.exists() and not config.out.is_dir():
        raise InputError(f"--out {config.out} is a file: name a folder.")
    tasks = [task for task in suite.tasks if task in (config.tasks or suite.tasks)]
    scenes = []
    for task in tasks:
        env = suite.make(task, config.sim)
        try:
            scene = play(env, suite.episodes(task, config.seed_block, 1)[0], config.size)
        finally:
            env.close()
        path = config.out / f"{task}.png"
        save(contact_sheet(scene), path)
        outcome = "success" if scene.success else "no success"
        print(f"{path}: {outcome} after {scene.actions} actions, {path.stat().st_size / 1000:.0f} kB", flush=True)
        scenes.append(scene)
    if len(tasks) == len(suite.tasks):
        path = config.out / "overview.png"
        save(overview(scenes), path)
        print(f"{path}: {len(scenes)} tasks, {path.stat().st_size / 1000:.0f} kB", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Command line entry. Returns the exit code: 0, or 2 for a mistake in the input."""
    described = Annotated[Config, tyro.conf.arg(name="")]
    config = tyro.cli(described, args=arguments, description=__doc__, prog="python -m envs.gallery")
    try:
        draw_gallery(config)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _palette(sheet: Image.Image) -> Image.Image:
    """256 colours. Each shade counts by the root of its area, else those of small objects would be lost."""
    shades, areas = np.unique(np.asarray(sheet).reshape(-1, 3) // 4, axis=0, return_counts=True)
    sample = np.repeat(shades * 4 + 2, np.sqrt(areas).astype(int), axis=0).astype(np.uint8)
    return Image.fromarray(sample[None]).quantize(256, Image.Quantize.MEDIANCUT, kmeans=2)


def _write_upwards(sheet: Image.Image, text: str, x: int, y: int, height: int) -> None:
    """Writes a row's label from bottom to top, in the middle of `height` pixels."""
    strip = Image.new("RGB", (height, 18), _PAPER)
    ImageDraw.Draw(strip).text((height / 2, 13), text, _PALE, _font(14), anchor="ms")
    sheet.paste(strip.rotate(90, expand=True), (x, y))


if __name__ == "__main__":
    sys.exit(main())
