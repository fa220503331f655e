"""Contact sheets: pictures of an episode's start and end, and of another variation, on one page."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

OVERVIEW_WIDTH = 1200  # pixels
_OVERVIEW_COLUMNS = 6
_GAP, _MARGIN = 6, 14  # pixels between pictures, and around them
_PAPER, _INK, _PALE = (255, 255, 255), (30, 34, 40), (105, 112, 122)
_CAPTION_LINES = 3
_LINE = 14  # pixels a line of a caption


@dataclass(frozen=True)
class View:
    """One moment.

    Attributes:
        images: Camera name -> picture.
        variation: Variation of the task.
        instruction: The sentence of the episode.
    """

    images: Mapping[str, Image.Image]
    variation: int
    instruction: str


@dataclass(frozen=True)
class Scene:
    """One task in pictures.

    Attributes:
        task: Task name.
        start: The start of an episode.
        end: After the expert's last action.
        other: The start of an episode of another variation; None where the task has only one.
        actions: Number of the expert's actions.
        success: Whether they solved the task.
    """

    task: str
    start: View
    end: View
    other: View | None
    actions: int
    success: bool


def contact_sheet(scene: Scene) -> Image.Image:
    """Start over end over another variation, a column a camera."""
    size = next(iter(scene.start.images.values())).width
    title, small = _font(20), _font(14)
    left, top = _MARGIN + 22, _MARGIN + 54
    rows = [(scene.start, "start"), (scene.end, "end: success" if scene.success else "end: no success")]
    heading = 0
    if scene.other is not None:
        rows.append((scene.other, "start"))
        heading = 34
    width = left + len(scene.start.images) * (size + _GAP) - _GAP + _MARGIN
    sheet = Image.new("RGB", (width, top + len(rows) * (size + _GAP) - _GAP + heading + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((left, _MARGIN), _sentence(scene.start), _INK, title)
    for row, (view, label) in enumerate(rows):
        y = top + row * (size + _GAP)
        if view is scene.other:
            draw.text((left, y + 4), _sentence(view), _INK, _font(17))
            y += heading
        _write_upwards(sheet, label, x=_MARGIN, y=y, height=size)
        for column, (camera, image) in enumerate(view.images.items()):
            x = left + column * (size + _GAP)
            sheet.paste(image, (x, y))
            if row == 0:
                draw.text((x + size / 2, y - 6), camera, _PALE, small, anchor="ms")
    return sheet


def overview(scenes: list[Scene]) -> Image.Image:
    """All tasks from the front camera (the first one where a suite has no such camera).

    A column a task: start, end, and the start of another variation, with the instructions.
    """
    columns = min(_OVERVIEW_COLUMNS, len(scenes))
    size = (OVERVIEW_WIDTH - 2 * _MARGIN - (columns - 1) * _GAP) // columns
    caption = _CAPTION_LINES * _LINE + 8
    band = 24 + 3 * size + _GAP + 2 * caption + _MARGIN
    sheet = Image.new("RGB", (OVERVIEW_WIDTH, _MARGIN + -(-len(scenes) // columns) * band), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for k, scene in enumerate(scenes):
        x, y = _MARGIN + k % columns * (size + _GAP), _MARGIN + k // columns * band
        draw.text((x + size / 2, y + 16), scene.task, _INK, _font(12), anchor="ms")
        y += 24
        _paste(sheet, scene.start, x, y, size)
        _paste(sheet, scene.end, x, y + size + _GAP, size)
        y += 2 * size + _GAP
        _write_caption(draw, _sentence(scene.start), x, y + 4, size)
        if scene.other is not None:
            _paste(sheet, scene.other, x, y + caption, size)
            _write_caption(draw, _sentence(scene.other), x, y + caption + size + 4, size)
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


def _sentence(view: View) -> str:
    return f"{view.variation}: {view.instruction}"


def _paste(sheet: Image.Image, view: View, x: int, y: int, size: int) -> None:
    camera = "front" if "front" in view.images else next(iter(view.images))
    sheet.paste(view.images[camera].resize((size, size), Image.Resampling.LANCZOS), (x, y))


def _write_caption(draw: ImageDraw.ImageDraw, text: str, x: int, y: int, width: int) -> None:
    """Writes a sentence below a picture, in a few lines."""
    font = _font(11)
    characters = int(0.92 * width / (font.getlength("instruction") / 11))
    lines = textwrap.wrap(text, characters, max_lines=_CAPTION_LINES, placeholder=" …")
    draw.multiline_text((x + 1, y), "\n".join(lines), _PALE, font, spacing=2)


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
