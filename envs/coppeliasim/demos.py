"""Stored demonstrations as the starts of episodes, as in PerAct's evaluation.

An episode with seed s of a seed block that starts at b is the block's k-th, k = s - b (0, 1, 2, ...). It starts as

- PerAct's layout, `<task>/all_variations/episodes/episode<k>`: as the demonstration of that number k;
- RLBench's layout, `<task>/variation<v>/episodes/episode<e>`: as the k-th of all, sorted by e, then by v, so that few
  episodes cover many variations.

Where both layouts are there, the first counts. The variation is the demonstration's. A demonstration is restored
through the state of NumPy's generator that is stored in it, and only the RLBench that made it can. What RLBench draws
through Python's sets, the colours of push_buttons' spare buttons, hangs on how the process that made the demonstration
hashed strings, which is stored nowhere: there the restored scene looks different.
"""

import hashlib
import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from envs.spec import Episode, InputError
from envs.suite import Suite

LOW_DIM = "low_dim_obs.pkl"
VARIATION = "variation_number.pkl"
_SAME_PLACE = 0.02  # m, parts of a unit quaternion, rad: how far settling objects differ; other scenes by far more
_LAYOUTS = (
    "<task>/all_variations/episodes/episode0 (PerAct) or <task>/variation0/episodes/episode0 (RLBench). "
    "Name the folder of one split, such as .../test"
)


@dataclass(frozen=True)
class StoredDemo:
    """A demonstration on disk.

    Attributes:
        folder: Holds `low_dim_obs.pkl`.
        variation: Of its task.
    """

    folder: Path
    variation: int


def stored_episodes(suite: Suite, demos: Path, episodes: Sequence[Episode]) -> tuple[list[Episode], str]:
    """The episodes with the variations of their demonstrations, and `dataset_digest`.

    Raises:
        InputError: The folder lacks one, or its variation is not the suite's.
    """
    if not demos.is_dir():
        raise InputError(f"--demos {demos} is not a folder. It must hold {_LAYOUTS}.")
    found = [replace(episode, variation=stored_demo(suite, demos, episode).variation) for episode in episodes]
    for episode in found:
        if not 0 <= episode.variation < suite.tasks[episode.task]:
            raise InputError(
                f"--demos {demos}: a demonstration of {episode.task} has variation {episode.variation}, the suite only "
                f"0..{suite.tasks[episode.task] - 1}. Use demonstrations of this benchmark."
            )
    return found, dataset_digest(suite, demos)


def dataset_digest(suite: Suite, demos: Path) -> str:
    """What tells this dataset from others: 12 hex digits of a SHA-256 over all demonstrations of the suite's tasks.

    It covers number, variation and content of each, those that a run leaves out too: runs of some tasks or episodes of
    a dataset have one digest, wherever it lies. Another split, or a dataset with tasks or episodes more or fewer, has
    another one.

    Raises:
        InputError: A demonstration cannot be read.
    """
    digest = hashlib.sha256()
    for task in sorted(suite.tasks):
        for number, stored in _pooled(demos / task) or _by_variation(demos / task):
            with (stored.folder / LOW_DIM).open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{task}/{stored.variation}/{number}/{content}\n".encode())
    return digest.hexdigest()[:12]


def stored_demo(suite: Suite, demos: Path, episode: Episode) -> StoredDemo:
    """The demonstration that an episode starts as.

    Raises:
        InputError: There is none.
    """
    block = next((block for block in suite.seeds.values() if block.start <= episode.seed < block.stop), None)
    if block is None:
        raise InputError(f"seed {episode.seed} is in no seed block of suite {suite.name!r}: no demonstration is its.")
    number = episode.seed - block.start
    pooled = demos / episode.task / "all_variations" / "episodes"
    if pooled.is_dir():
        folder = pooled / f"episode{number}"
        count = sum(1 for _ in pooled.glob("episode*"))
        _need(folder / LOW_DIM, number, count)
        _need(folder / VARIATION, number, count)
        return StoredDemo(folder, int(_unpickle(folder / VARIATION)))
    listed = _by_variation(demos / episode.task)
    if not listed:
        raise InputError(f"--demos {demos} has no demonstration of {episode.task}. It must hold {_LAYOUTS}.")
    if number >= len(listed):
        raise InputError(
            f"--demos {demos} has {len(listed)} demonstrations of {episode.task}, episode {number} needs one more: "
            f"add some, or ask for fewer with --episodes."
        )
    return listed[number][1]


def load_demo(stored: StoredDemo) -> Any:
    """Reads an `rlbench.demo.Demo`. RLBench must be importable. A pickle can run code: use folders that you trust.

    Raises:
        InputError: It cannot be read, or holds no state to restore.
    """
    demo = _unpickle(stored.folder / LOW_DIM)
    if getattr(demo, "random_seed", None) is None or len(demo) == 0:
        raise InputError(f"{stored.folder / LOW_DIM} holds no state to restore (random_seed): use another dataset.")
    # RLBench itself reads the variation there; its fork, which made most datasets, did not write it.
    misc = getattr(demo[0], "misc", None) or {}
    within = misc.get("variation_index", stored.variation)
    if within != stored.variation:
        raise InputError(
            f"{stored.folder} contradicts itself: variation {stored.variation} beside {LOW_DIM}, {within} in it. "
            "Download it again."
        )
    demo[0].misc = misc | {"variation_index": stored.variation}
    return demo


def starting_demo(suite: Suite, demos: Path, episode: Episode) -> Any:
    """Reads the demonstration that an episode starts as.

    Raises:
        InputError: There is none, its variation is another, or it cannot be read.
    """
    stored = stored_demo(suite, demos, episode)
    if stored.variation != episode.variation:
        raise InputError(
            f"{episode.id} should start as {stored.folder}, which has variation {stored.variation}: take the "
            "variations from the demonstrations (Suite.with_demos; python -m envs.run --demos does)."
        )
    return load_demo(stored)


def same_scene(raw: Any, start: Any) -> bool:
    """Whether objects and joints are where a demonstration has them; True where it did not record that.

    Args:
        raw: RLBench's observation of the restored scene.
        start: The demonstration's first.
    """
    restored, stored = (getattr(observation, "task_low_dim_state", None) for observation in (raw, start))
    if restored is None or stored is None or np.shape(restored) != np.shape(stored):
        return True
    # By size alone: a quaternion and its negative are one rotation, and half a turn may be given as either.
    return bool(np.allclose(np.abs(restored), np.abs(stored), rtol=0.0, atol=_SAME_PLACE))


def _pooled(root: Path) -> list[tuple[int, StoredDemo]]:
    """Complete demonstrations of PerAct's layout, by number."""
    found = []
    for path in root.glob(f"all_variations/episodes/episode*/{LOW_DIM}"):
        number, variation = re.fullmatch(r"episode(\d+)", path.parts[-2]), path.with_name(VARIATION)
        if number and variation.is_file():
            found.append((int(number[1]), StoredDemo(path.parent, int(_unpickle(variation)))))
    return sorted(found, key=lambda entry: entry[0])


def _by_variation(root: Path) -> list[tuple[int, StoredDemo]]:
    """Demonstrations of RLBench's layout, by number, then by variation."""
    found = []
    for path in root.glob(f"variation*/episodes/episode*/{LOW_DIM}"):
        variation = re.fullmatch(r"variation(\d+)", path.parts[-4])
        number = re.fullmatch(r"episode(\d+)", path.parts[-2])
        if variation and number:
            found.append((int(number[1]), int(variation[1]), path.parent))
    return [(number, StoredDemo(folder, variation)) for number, variation, folder in sorted(found)]


def _need(path: Path, number: int, count: int) -> None:
    if not path.is_file():
        raise InputError(
            f"episode {number} of {path.parents[3].name} needs {path}, which is not there ({count} episodes are). "
            "Complete the dataset, or ask for fewer episodes with --episodes."
        )


def _unpickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return pickle.load(file)
    except (ModuleNotFoundError, AttributeError) as error:
        lacking = f"the module {error.name}" if isinstance(error, ModuleNotFoundError) else str(error)
        raise InputError(
            f"{path} cannot be read with the packages that are installed ({lacking}): "
            "install the versions of RLBench and NumPy that it was made with."
        ) from error
    except Exception as error:  # an unpickler raises whatever the classes in it raise
        raise InputError(f"{path} cannot be read ({type(error).__name__}: {error}): download it again.") from error
