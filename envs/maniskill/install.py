"""Whether ManiSkill can run here: its packages, a Vulkan driver that SAPIEN takes, and no downloads in between."""

import json
import os
import platform
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from envs.spec import InputError

PACKAGES = "pip install -e '.[sim-maniskill]'"
# Where Vulkan's loader looks for the manifests of drivers.
_MANIFESTS = ("/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d")
_NAMED_BY = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")
_LEAST_VULKAN = (1, 4)  # of Mesa's software driver: what Mesa 25 has, the first that SAPIEN takes

BACKPORTS = """\
  echo 'deb http://deb.debian.org/debian bookworm-backports main' > /etc/apt/sources.list.d/backports.list
  apt-get update && apt-get install -t bookworm-backports mesa-vulkan-drivers libvulkan1"""
DRIVER_REMEDY = f"""\
SAPIEN needs one also to simulate without pictures. An NVIDIA driver has it; without a GPU, Mesa 25 or later has it
(the package mesa-vulkan-drivers, with libvulkan1):
  apt-get install mesa-vulkan-drivers libvulkan1
On Debian 12, whose own Mesa 22.3 is too old, from its backports:
{BACKPORTS}
Or unpack that package into a folder (dpkg -x) and name its driver by VK_ICD_FILENAMES; see docs/maniskill.md."""


def version() -> str:
    """Versions of ManiSkill and SAPIEN, whose physics and pictures they decide.

    Raises:
        InputError: They are not installed.
    """
    check_packages()
    return f"{metadata.version('mani-skill')}, SAPIEN {metadata.version('sapien')}"


def check_packages() -> None:
    """Raises InputError where a package of the extra is missing."""
    if platform.system() != "Linux":
        raise InputError("ManiSkill's suites run on Linux only: choose another suite.")
    missing = [name for name in ("mani_skill", "sapien", "torch", "fast_simplification") if find_spec(name) is None]
    if missing:
        raise InputError(f"ManiSkill's suites need the packages {', '.join(missing)}. Install: {PACKAGES}")


def check_driver() -> None:
    """Raises InputError where SAPIEN finds no Vulkan device that it can use. Names the drivers that there are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it brings a Vulkan loader of its own, and says so
        import sapien.render
    try:
        sapien.render.set_log_level("off")
        sapien.render.get_device_summary()
    except RuntimeError as error:
        raise InputError(
            f"SAPIEN finds no Vulkan driver that it can use ({error}); {_found()}. {DRIVER_REMEDY}"
        ) from None
    finally:
        sapien.render.set_log_level("error")


def driver_names() -> list[str]:
    """The Vulkan drivers that are installed: manifest and the version of Vulkan that each offers."""
    return [f"{path} (Vulkan {'.'.join(map(str, number)) or 'unknown'})" for path, number in _drivers()]


def forbid_downloads() -> None:
    """Makes ManiSkill raise InputError where it would ask, or go ahead, to download assets."""
    from mani_skill.utils import download_asset

    def refuse(*arguments: Any, **named: Any) -> None:
        what = arguments[0] if arguments and isinstance(arguments[0], str) else "a task asks for assets"
        raise InputError(
            f"ManiSkill would download something now ({what}), which no suite of this benchmark does. Use a task whose "
            "assets are in the package, or fetch them yourself before: python -m mani_skill.utils.download_asset TASK"
        )

    download_asset.prompt_yes_no = refuse
    download_asset.download = refuse


@contextmanager
def quiet() -> Iterator[None]:
    """Within, the packages' import warnings (a missing git checkout, unused robots) are not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _found() -> str:
    drivers = _drivers()
    if not drivers:
        named = [name for name in _NAMED_BY if os.environ.get(name)]
        return f"{named[0]} names none" if named else "none is installed"
    old = [str(path) for path, number in drivers if number and "lvp" in path.name and number < (*_LEAST_VULKAN, 0)]
    too_old = f"; too old: {', '.join(old)}" if old else ""
    return f"installed: {', '.join(driver_names())}{too_old}"


def _drivers() -> list[tuple[Path, tuple[int, ...]]]:
    named = next((os.environ[name] for name in _NAMED_BY if os.environ.get(name)), None)
    files: Iterable[Path]
    if named is not None:
        files = [Path(entry) for entry in named.split(os.pathsep) if entry]
    else:
        files = [path for folder in _MANIFESTS for path in sorted(Path(folder).glob("*.json"))]
    return [(path, _vulkan(path)) for path in files if path.is_file()]


def _vulkan(manifest: Path) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in json.loads(manifest.read_text())["ICD"]["api_version"].split("."))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ()
