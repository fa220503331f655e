"""The nearest-neighbour policy: does what the demonstration did whose observation is most like this one.

A floor that any learned policy must beat: it knows the demonstrations by heart and understands nothing. Of the
demonstrated frames with the episode's sentence (or, where none has it, those that share the largest part of its words)
it takes the one at the least distance

    d = |pictures - pictures'| / a + ||proprioception - proprioception'|| / b

where pictures are the views shrunk to a few pixels (mean absolute difference), proprioception is divided by its
standard deviation entry by entry, and a and b are the mean distances of random pairs of demonstrated frames: looks and
posture weigh alike.
"""

import hashlib
import io
import json
import time
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from envs.spec import InputError, Observation, TaskSpec
from model.actions import EMBODIMENTS, ActionConvention
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec

FORMAT = "drifting-vla nearest-neighbour memory"
_ARRAYS = ("pictures", "proprioception", "actions", "sentence")
_REMEDY = "Make one with `python -m train.memory --suite rlbench18` and give it as --checkpoint."


@dataclass(frozen=True)
class MemoryFacts:
    """What a memory was made from.

    Attributes:
        convention: Meaning of the actions.
        cameras: Of the pictures, in order.
        proprioception: Name of each entry.
        sentences: Instructions that were demonstrated.
        side: Height and width of a picture, pixels.
        picture_scale: Mean distance of the pictures of two random frames, grey levels.
        proprioception_scale: Likewise of the proprioception, in standard deviations.
    """

    convention: ActionConvention
    cameras: tuple[str, ...]
    proprioception: tuple[str, ...]
    sentences: tuple[str, ...]
    side: int
    picture_scale: float
    proprioception_scale: float


@dataclass(frozen=True)
class Memory:
    """Demonstrated frames; N frames, V views, S = `MemoryFacts.side`, P entries, T actions a chunk of A numbers.

    Attributes:
        facts: What they are.
        pictures: The views, shrunk.
        proprioception: As observed.
        spread: Standard deviation of each entry over the frames, 1 where it is constant.
        actions: Native actions that followed.
        sentence: Number of each frame's sentence.
    """

    facts: MemoryFacts
    pictures: UInt8[np.ndarray, "N V S S 3"]
    proprioception: Float32[np.ndarray, "N P"]
    spread: Float32[np.ndarray, " P"]
    actions: Float32[np.ndarray, "N T A"]
    sentence: Int64[np.ndarray, " N"]

    def save(self, path: Path) -> None:
        """Writes the memory; the same memory gives the same bytes."""
        path.parent.mkdir(parents=True, exist_ok=True)
        header = json.dumps({"format": FORMAT, **asdict(self.facts)}, sort_keys=True)
        arrays = {name: getattr(self, name) for name in (*_ARRAYS, "spread")}
        buffer = io.BytesIO()
        np.savez(buffer, header=np.array(header), **arrays)
        partial = path.with_suffix(path.suffix + ".partial")
        partial.write_bytes(buffer.getvalue())
        partial.replace(path)

    @classmethod
    def load(cls, data: bytes, path: Path) -> "Memory":
        """Reads what `save` wrote.

        Raises:
            InputError: It is something else.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                header = json.loads(str(archive["header"]))
                arrays = {name: archive[name] for name in (*_ARRAYS, "spread")}
            if header.pop("format") != FORMAT:
                raise KeyError("format")
            given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in header.items()}
            given["convention"] = ActionConvention(**given["convention"])
            facts = MemoryFacts(**given)
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is no memory of demonstrations ({error}). {_REMEDY}") from error
        return cls(facts, **arrays)


def shrink(images: UInt8[np.ndarray, "*n H W 3"], side: int) -> UInt8[np.ndarray, "*n side side 3"]:
    """Pictures of `side` x `side` pixels, each the mean of a block.

    Raises:
        InputError: The images are not square, or of a size that `side` does not divide.
    """
    height, width = images.shape[-3:-1]
    if height != width or height % side:
        raise InputError(
            f"views of {height} x {width} pixels cannot be shrunk to {side} x {side}: choose a --side that divides "
            "the size of square views."
        )
    blocks = images.reshape(*images.shape[:-3], side, height // side, side, width // side, 3)
    return np.round(blocks.mean(axis=(-4, -2))).astype(np.uint8)


class NearestPolicy(Policy):
    """Plays the chunk of the nearest demonstrated frame; no randomness.

    Args:
        checkpoint: A memory, made by `python -m train.memory`.

    Raises:
        InputError: None is given, or the file is missing or something else.
    """

    def __init__(self, checkpoint: str | None = None) -> None:
        if checkpoint is None:
            raise InputError(f"the nearest-neighbour policy needs a memory of demonstrations. {_REMEDY}")
        path = Path(checkpoint)
        if not path.is_file():
            raise InputError(f"there is no memory {path}. {_REMEDY}")
        data = path.read_bytes()
        self._memory = Memory.load(data, path)
        facts = self._memory.facts
        horizon = self._memory.actions.shape[1]
        self.spec = PolicySpec(facts.convention, horizon, facts.cameras)
        self.info = PolicyInfo("nearest", checkpoint_sha256=hashlib.sha256(data).hexdigest())
        self._rows: dict[str, Int64[np.ndarray, " n"]] = {}

    def reset(self, task: TaskSpec, seed: int) -> None:
        """See `Policy.reset`.

        Raises:
            InputError: The task does not observe what was demonstrated.
        """
        names = self._memory.facts.proprioception
        missing = [name for name in names if name not in task.proprioception]
        if missing:
            raise InputError(
                f"the memory compares proprioception {', '.join(missing)}, which {task.suite}/{task.task} does not "
                "have. Use a memory made for this suite."
            )
        self._entries = [task.proprioception.index(name) for name in names]

    def act(self, obs: Observation) -> ActionChunk:
        """The chunk that followed the most similar observation."""
        start = time.perf_counter()
        memory, facts = self._memory, self._memory.facts
        rows = self._candidates(obs["instruction"])
        views = np.stack([obs["images"][name] for name in facts.cameras])
        seen = shrink(views, facts.side).astype(np.int16)
        ready = time.perf_counter()
        looks = np.abs(memory.pictures[rows] - seen).mean(axis=(1, 2, 3, 4)) / facts.picture_scale
        difference = (memory.proprioception[rows] - obs["proprioception"][self._entries]) / memory.spread
        distance = looks + np.linalg.norm(difference, axis=1) / facts.proprioception_scale
        native = memory.actions[rows[distance.argmin()]]
        actions = EMBODIMENTS[facts.convention.embodiment].encode(native)
        return ActionChunk(actions, {"preprocess": ready - start, "head": time.perf_counter() - ready})

    def _candidates(self, sentence: str) -> Int64[np.ndarray, " n"]:
        """Frames with this sentence, or with those that share the largest part of its words."""
        if sentence not in self._rows:
            words = set(sentence.lower().split())
            others = [set(known.lower().split()) for known in self._memory.facts.sentences]
            shared = [
                1.0 if s == sentence else 0.99 * len(words & o) / max(1, len(words | o))
                for s, o in zip(self._memory.facts.sentences, others, strict=True)
            ]
            best = np.flatnonzero(np.isclose(shared, max(shared)))
            self._rows[sentence] = np.flatnonzero(np.isin(self._memory.sentence, best))
        return self._rows[sentence]
