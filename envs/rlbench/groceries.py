"""The nine groceries of put_groceries_in_cupboard: their shapes and printed packages.

Sizes are those the YCB object set publishes for its like, scaled to 0.70 so that each fits between the finger pads,
which open to 0.08 m (RLBench scales its groceries too); the coffee can, too wide even so, to 0.62. The labels are ours:
a plain word, on colours that no two packages share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from envs.rlbench.textures import png

RGB = tuple[int, int, int]

_PIXELS = 128  # of a printed face
_SIDES = 20  # faces around a round package
_STRIP = 0.75  # share of a round package's picture that goes round its side; the rest is the lid
_TIN, _PAPER, _INK = (176, 180, 188), (252, 246, 232), (34, 26, 26)
_SHOULDER, _NECK, _CAP = 0.56, 0.70, 0.93  # of a bottle's height
_CAP_RADIUS = 0.015  # m


@dataclass(frozen=True)
class Grocery:
    """A package. Its frame is in the middle of its foot: z up, x along its wide side, y along its thin one.

    Attributes:
        name: As the instruction says it.
        kind: "box", "can" or "bottle".
        real: Width, thickness, height of the original, m.
        weight: Of the original, kg.
        words: What is printed on it, a word a line.
        ground: Colour of the package.
        band: Colour of the field behind the words.
        ink: Colour of the words.
        scale: Scale of the original.
    """

    name: str
    kind: str
    real: tuple[float, float, float]
    weight: float
    words: str
    ground: RGB
    band: RGB
    ink: RGB
    scale: float = 0.70

    @property
    def body(self) -> str:
        """Name of its body, material and texture."""
        return self.name.replace(" ", "_")

    @property
    def size(self) -> tuple[float, float, float]:
        """Width, thickness, height, m."""
        width, thickness, height = (self.scale * value for value in self.real)
        return width, thickness, height


GROCERIES = (  # in the order of the variations
    Grocery("crackers", "box", (0.158, 0.060, 0.210), 0.411, "CRACKERS", (214, 20, 26), (255, 214, 70), (150, 10, 16)),
    Grocery(
        "chocolate jello", "box", (0.110, 0.035, 0.089), 0.187, "CHOCO JELLY", (124, 66, 30), (230, 194, 150), _INK
    ),
    Grocery(
        "strawberry jello", "box", (0.085, 0.028, 0.073), 0.097, "BERRY JELLY", (250, 92, 156), _PAPER, (200, 0, 60)
    ),
    Grocery("soup", "can", (0.066, 0.066, 0.101), 0.349, "SOUP", (66, 150, 40), _PAPER, (20, 90, 10)),
    Grocery("tuna", "can", (0.085, 0.085, 0.033), 0.171, "TUNA", (0, 178, 186), (216, 250, 250), (0, 76, 110)),
    Grocery("spam", "box", (0.097, 0.050, 0.082), 0.370, "MEAT", (28, 44, 150), (255, 206, 40), (28, 44, 150)),
    Grocery("coffee", "can", (0.102, 0.102, 0.139), 0.414, "COFFEE", (32, 28, 30), (214, 216, 220), _INK, 0.62),
    Grocery("mustard", "bottle", (0.095, 0.058, 0.190), 0.603, "MUSTARD", (255, 206, 0), _PAPER, (170, 90, 0)),
    Grocery("sugar", "box", (0.089, 0.038, 0.175), 0.514, "SUGAR", (246, 246, 250), (96, 160, 236), _PAPER),
)


def asset(item: Grocery) -> str:
    """MJCF assets of a package: its printed material and, if it is round, its mesh."""
    faces = 'type="cube" gridsize="6 1" gridlayout="RLUDFB"' if item.kind == "box" else 'type="2d"'
    printed = (
        f'<texture name="{item.body}" {faces} file="{item.body}.png"/>'
        f'<material name="{item.body}" texture="{item.body}" specular=".15" shininess=".3"/>'
    )
    if item.kind == "box":
        return printed
    x, y, z = item.size[0] / 2, item.size[1] / 2, item.size[2]
    if item.kind == "can":
        return printed + _turned(item.body, [(x, y, 0), (x, y, z)])
    neck = 1.15 * _CAP_RADIUS
    rings = [(0.92 * x, 0.92 * y, 0), (x, y, 0.06 * z), (x, y, _SHOULDER * z), (neck, neck, _NECK * z)]
    return printed + _turned(item.body, rings)


def free_body(item: Grocery) -> str:
    """MJCF of a package as a free body that collides through primitives."""
    x, y, z = item.size[0] / 2, item.size[1] / 2, item.size[2]
    mass = max(item.weight * item.scale**3, 0.03)
    skin = f'material="{item.body}"'
    if item.kind == "box":
        # The upright axis of a cube texture is y: the geom is turned so that it points up.
        geoms = (
            f'<geom class="object" type="box" size="{x} {z / 2} {y}" pos="0 0 {z / 2}" euler="1.5707963 0 0"'
            f' mass="{mass}" {skin}/>'
        )
    elif item.kind == "can":
        geoms = f"""
          <geom class="object" group="3" type="cylinder" size="{x} {z / 2}" pos="0 0 {z / 2}" mass="{mass}"/>
          <geom class="visual" type="mesh" mesh="{item.body}" {skin}/>"""
    else:
        low, high = _NECK * z, _CAP * z
        geoms = f"""
          <geom class="object" group="3" type="box" size="{0.85 * x} {0.9 * y} {low / 2}" pos="0 0 {low / 2}"
                mass="{0.9 * mass}"/>
          <geom class="visual" type="mesh" mesh="{item.body}" {skin}/>
          <geom class="object" type="cylinder" size="{_CAP_RADIUS} {(high - low) / 2}" pos="0 0 {(low + high) / 2}"
                mass="{0.1 * mass}" rgba=".82 .10 .06 1"/>
          <geom class="visual" type="cylinder" size=".005 {(z - high) / 2}" pos="0 0 {(z + high) / 2}"
                rgba=".82 .10 .06 1"/>"""
    return f'<body name="{item.body}"><freejoint/>{geoms}</body>'


def picture(item: Grocery) -> bytes:
    """PNG of what is printed on a package: six faces one below the other, or side strip and lid side by side."""
    width, thickness, height = item.size
    if item.kind == "box":
        front, side = _panel(item, width / height), _panel(item, thickness / height, words="")
        top, foot = _panel(item, width / thickness), Image.new("RGB", (_PIXELS, _PIXELS), item.ground)
        faces = (side, side, top, foot, front, front)
        sheet = Image.new("RGB", (_PIXELS, len(faces) * _PIXELS))
        for k, face in enumerate(faces):
            sheet.paste(face, (0, k * _PIXELS))
    else:
        around = round(_PIXELS * _STRIP * 4)
        sheet = Image.new("RGB", (4 * _PIXELS, _PIXELS), item.ground)
        panel = _panel(item, np.pi / 2 * width / height).resize((around // 2, _PIXELS))
        sheet.paste(panel, (0, 0))
        sheet.paste(panel, (around // 2, 0))
        draw = ImageDraw.Draw(sheet)
        if item.kind == "can":
            draw.rectangle((0, 0, around, 5), _TIN)
            draw.rectangle((0, _PIXELS - 6, around, _PIXELS), _TIN)
            sheet.paste(_lid(item), (around, 0))
    return png(sheet)


def _panel(item: Grocery, aspect: float, words: str | None = None) -> Image.Image:
    """A square picture of a face whose width is `aspect` times its height: the words on a band, or the band alone."""
    wide, high = (max(round(2 * _PIXELS * value), 32) for value in (min(aspect, 1.0), min(1.0 / aspect, 1.0)))
    image = Image.new("RGB", (wide, high), item.ground)
    draw = ImageDraw.Draw(image)
    # The bottle's label lies on its straight part.
    top, bottom = (0.50, 0.90) if item.kind == "bottle" else (0.28, 0.72)
    draw.rectangle((0, round(top * high), wide, round(bottom * high)), item.band)
    text = item.words if words is None else words
    room = wide * (0.86 if item.kind == "box" else 0.6), (bottom - top) * high * 0.8
    _write(draw, text, (wide / 2, (top + bottom) / 2 * high), room, item.ink)
    return image.resize((_PIXELS, _PIXELS), Image.Resampling.LANCZOS)


def _lid(item: Grocery) -> Image.Image:
    """The lid of a can: a rim of tin around a printed disc."""
    image = Image.new("RGB", (_PIXELS, _PIXELS), _TIN)
    draw = ImageDraw.Draw(image)
    draw.ellipse((10, 10, _PIXELS - 11, _PIXELS - 11), item.ground)
    _write(draw, item.words, (_PIXELS / 2, _PIXELS / 2), (_PIXELS * 0.7, _PIXELS * 0.4), item.band)
    return image


def _write(
    draw: ImageDraw.ImageDraw, words: str, middle: tuple[float, float], room: tuple[float, float], ink: RGB
) -> None:
    """Writes words, one a line, as large as the room (width, height) allows."""
    text = words.replace(" ", "\n")
    size = 96
    while size > 6:
        font = ImageFont.load_default(size)
        left, top, right, bottom = draw.multiline_textbbox((0, 0), text, font, stroke_width=size // 20)
        if right - left <= room[0] and bottom - top <= room[1]:
            break
        size -= 3
    draw.multiline_text(middle, text, ink, font, anchor="mm", align="center", stroke_width=size // 20)


def _turned(name: str, rings: Sequence[tuple[float, float, float]]) -> str:
    """A mesh of ellipses one above the other with foot and lid, and where its points lie in the printed picture.

    Args:
        name: Name of the mesh asset.
        rings: Half axes in x and y, and height of each ellipse, from the foot up, m.
    """
    turn = np.linspace(0, 1, _SIDES + 1)
    circle = np.stack([np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)], axis=1)
    top = rings[-1][2]
    points, printed, faces = [], [], []
    for x, y, z in rings:
        points.append(np.column_stack([circle * (x, y), np.full(_SIDES + 1, z)]))
        printed.append(np.column_stack([_STRIP * turn, np.full(_SIDES + 1, 1 - z / top)]))
    for x, y, z in (rings[0], rings[-1]):
        points.append(np.column_stack([circle * (x, y), np.full(_SIDES + 1, z)]))
        printed.append((0.5 + 0.499 * circle * (1, -1)) * (1 - _STRIP, 1) + (_STRIP, 0))
    row = _SIDES + 1
    for k in range(_SIDES):
        for ring in range(len(rings) - 1):
            a, b = ring * row + k, ring * row + k + 1
            faces += [(a, b, b + row), (a, b + row, a + row)]
        foot, lid = len(rings) * row, (len(rings) + 1) * row
        faces += [(foot, foot + k + 1, foot + k), (lid, lid + k, lid + k + 1)]
    vertices, coordinates = np.concatenate(points), np.concatenate(printed)
    numbers = (" ".join(f"{value:.5g}" for value in array.ravel()) for array in (vertices, coordinates))
    corners = " ".join(map(str, np.array(faces).ravel()))
    return '<mesh name="{}" inertia="shell" vertex="{}" texcoord="{}" face="{}"/>'.format(name, *numbers, corners)
