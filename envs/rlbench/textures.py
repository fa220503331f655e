"""PNG textures drawn when a task is compiled."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def png(image: Image.Image | UInt8[np.ndarray, "h w 3"]) -> bytes:
    """A picture as a PNG file, RGB."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()
