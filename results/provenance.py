"""Where a result came from: commit, package versions, hardware. Reads metadata only; imports none of the packages."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "drifting-vla",
    "gymnasium",
    "gymnasium-robotics",
    "mujoco",
    "numpy",
    "pyrep",
    "rlbench",
    "scipy",
    "torch",
    "transformers",
)
_ROOT = Path(__file__).resolve().parents[1]


def utc_now() -> str:
    """The time, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def git_sha() -> str | None:
    """Commit of this checkout, with `-dirty` when tracked files differ from it; None outside a checkout."""
    # Installed into an environment below some other repository, that repository's commit would be the wrong one.
    top = _git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != _ROOT:
        return None
    sha = _git("rev-parse", "--verify", "HEAD")
    if sha is None:
        return None
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return sha if changes == "" else f"{sha}-dirty"


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that could change a number."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@cache
def cpu_model() -> str:
    """The processor's marketing name, where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def circumstances(device: str) -> dict[str, Any]:
    """What a record notes each time a run starts or goes on.

    Args:
        device: What the policy runs on, such as "cpu" or a GPU's name.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "created": utc_now(),
        "git_sha": git_sha(),
        "packages": package_versions(),
        "python": platform.python_version(),
        "hardware": {"cpu": cpu_model(), "cores": cores, "device": device},
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
