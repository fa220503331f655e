"""The 20 colours that RLBench's instructions name, as RGB in 0..1."""

import numpy as np

PALETTE: dict[str, tuple[float, float, float]] = {
    "red": (1.0, 0.0, 0.0),
    "maroon": (0.5, 0.0, 0.0),
    "lime": (0.0, 1.0, 0.0),
    "green": (0.0, 0.5, 0.0),
    "blue": (0.0, 0.0, 1.0),
    "navy": (0.0, 0.0, 0.5),
    "yellow": (1.0, 1.0, 0.0),
    "cyan": (0.0, 1.0, 1.0),
    "magenta": (1.0, 0.0, 1.0),
    "silver": (0.75, 0.75, 0.75),
    "gray": (0.5, 0.5, 0.5),
    "orange": (1.0, 0.5, 0.0),
    "olive": (0.5, 0.5, 0.0),
    "purple": (0.5, 0.0, 0.5),
    "teal": (0.0, 0.5, 0.5),
    "azure": (0.0, 0.5, 1.0),
    "violet": (0.5, 0.0, 1.0),
    "rose": (1.0, 0.0, 0.5),
    "black": (0.0, 0.0, 0.0),
    "white": (1.0, 1.0, 1.0),
}
COLOR_NAMES: tuple[str, ...] = tuple(PALETTE)


def with_another(color: int, rng: np.random.Generator) -> tuple[str, str]:
    """The name of a palette index, and a random other one."""
    shift = int(rng.integers(1, len(COLOR_NAMES)))
    return COLOR_NAMES[color], COLOR_NAMES[(color + shift) % len(COLOR_NAMES)]


def others_than(color: str) -> list[str]:
    """All names but one, in the palette's order."""
    return [name for name in COLOR_NAMES if name != color]
