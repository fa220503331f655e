"""What encoders take and give: a batch of observations, and the tokens and places found in it.

Shapes: B observations, V views, S image size, L context tokens, E encoder width, N cells a side of the close look.
"""

from typing import NamedTuple

from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor

from model.anchor import Anchor


class ObservationBatch(NamedTuple):
    """Encoder input.

    Attributes:
        images: Camera views in the checkpoint's camera order, RGB.
        proprioception: Normalised.
        words: Numbers of the instruction's words (`Vocabulary.encode`) or of its tokens.
        tip: End-effector pose in the world: x y z (m), quaternion xyzw. Carries the wrist camera.
        views: True where a view is real; None where all are. Only encoders that take any number of views read it.
    """

    images: UInt8[Tensor, "B V S S 3"]
    proprioception: Float32[Tensor, "B P"]
    words: Int64[Tensor, "B W"]
    tip: Float32[Tensor, "B 7"]
    views: Bool[Tensor, "B V"] | None = None


class Places(NamedTuple):
    """Where an encoder with calibrated cameras takes the next end-effector position to be.

    Attributes:
        pointer: Unnormalised log-probability over the cells of every view, and last of not being in view.
        point: Where the views' pointers meet, world, m.
        frame: Frame of the close look around that point.
        heat: Unnormalised log-probability over the cells of the close look's square, row by row.
        level: Unnormalised log-probability over heights.
        turn: Unnormalised log-probability over headings of the hand, relative to the frame's.
        refined: The point after the close look, world, m.
    """

    pointer: Float[Tensor, "B V cells+1"]
    point: Float[Tensor, "B 3"]
    frame: Anchor
    heat: Float[Tensor, "B N*N"]
    level: Float[Tensor, "B levels"]
    turn: Float[Tensor, "B turns"]
    refined: Float[Tensor, "B 3"]


class EncoderOutput(NamedTuple):
    """What an encoder makes of a batch.

    Attributes:
        tokens: Context tokens.
        mask: False on padding.
        anchor: The frame in which chunks are generated (`model.anchor`); None without calibrated cameras.
        places: None without calibrated cameras.
    """

    tokens: Float[Tensor, "B L E"]
    mask: Bool[Tensor, "B L"]
    anchor: Anchor | None = None
    places: Places | None = None
