"""Writes demonstrations down for the nearest-neighbour policy.

    python -m train.memory --suite rlbench18
    python -m envs.run --suite rlbench18 --policy nearest --checkpoint runs/memory/rlbench18.npz

The memory holds every demonstrated frame, its views shrunk, and the actions that followed; see `policies.nearest`. It
is a function of the demonstrations and the settings.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from envs.spec import InputError
from envs.suite import load_suite
from policies.nearest import Memory, MemoryFacts, shrink
from train.config import LoopConfig
from train.data import chunk_rows
from train.demonstrations import Demonstrations, read_demonstrations

_PAIRS = 4096


@dataclass(frozen=True)
class MemoryConfig:
    """Settings.

    Attributes:
        suite: Suite name, or path of its file.
        data: Folder of the demonstrations; data/<suite> when left out.
        side: Height and width of the shrunk views, pixels.
        horizon: Actions of a chunk; the suite's execution horizon when left out.
        out: The memory; runs/memory/<suite>.npz when left out.
    """

    suite: str
    data: Path | None = None
    side: int = 16
    horizon: int | None = None
    out: Path | None = None


def remember(demos: Demonstrations, side: int, horizon: int) -> Memory:
    """The demonstrated frames as a memory.

    Raises:
        InputError: There are no views, or they cannot be shrunk so.
    """
    frames = demos.training
    if not frames.cameras:
        raise InputError("the nearest-neighbour policy compares views, and these demonstrations have none.")
    pictures = shrink(frames.images, side)
    deviation = frames.proprioception.std(axis=0)
    spread = np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)
    rng = np.random.default_rng(0)
    one, other = rng.integers(len(pictures), size=(2, _PAIRS))
    looks = np.abs(pictures[one].astype(np.int16) - pictures[other]).mean(axis=(1, 2, 3, 4))
    posture = np.linalg.norm((frames.proprioception[one] - frames.proprioception[other]) / spread, axis=1)
    sentences = sorted(set(frames.instructions))
    number = {sentence: index for index, sentence in enumerate(sentences)}
    rows, _ = chunk_rows(frames.episode_index, frames.keyframe_index, horizon)
    facts = MemoryFacts(
        demos.convention,
        frames.cameras,
        frames.proprioception_names,
        tuple(sentences),
        side,
        max(float(looks.mean()), 1e-6),
        max(float(posture.mean()), 1e-6),
    )
    sentence = np.array([number[text] for text in frames.instructions], np.int64)
    return Memory(facts, pictures, frames.proprioception, spread, frames.actions[rows], sentence)


def main(args: list[str] | None = None) -> int:
    """Command line. Returns the exit code: 0, or 2 on a user's mistake."""
    config = tyro.cli(MemoryConfig, args=args, description=__doc__, prog="python -m train.memory")
    try:
        suite = load_suite(config.suite)
        demos = read_demonstrations(LoopConfig(config.suite, data=config.data))
        horizon = suite.execution_horizon if config.horizon is None else config.horizon
        if config.side < 1 or horizon < 1:
            raise InputError(f"--side and --horizon are 1 or more, got {config.side} and {horizon}.")
        memory = remember(demos, config.side, horizon)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    path = config.out or Path("runs") / "memory" / f"{suite.name}.npz"
    memory.save(path)
    print(f"memory: {path}, {len(memory.pictures):,} frames, {path.stat().st_size / 1e6:.0f} MB")
    print(f"evaluate it: python -m envs.run --suite {config.suite} --policy nearest --checkpoint {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
