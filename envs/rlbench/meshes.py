"""The Panda's meshes: found in the installed gymnasium-robotics package, decimated once into a cache."""

import hashlib
import importlib.util
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

from envs.spec import InputError

LINKS = tuple(f"link{i}" for i in range(8))
# Faces kept of each visual mesh (of 7 000 to 21 000): a fifth of the rendering time, no visible difference at 480 px.
VISUAL_FACES = 1500
_MESHES = Path("envs/assets/kitchen_franka/franka_assets/meshes")


def cache_dir() -> Path:
    """Folder for derived files; `DRIFTING_VLA_CACHE` moves it."""
    root = os.environ.get("DRIFTING_VLA_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "drifting_vla"
    return Path(root).expanduser()


def panda_meshes() -> dict[str, bytes]:
    """STL files of the Panda: "<link>.stl" (visual, decimated) and "<link>_collision.stl" for links, hand and finger.

    Raises:
        InputError: The packages of the `sim-mujoco` extra are missing.
    """
    spec = importlib.util.find_spec("gymnasium_robotics")
    if spec is None or spec.origin is None:
        raise InputError(
            "the embedded simulator needs the package gymnasium-robotics. Install: pip install -e '.[sim-mujoco]'"
        )
    source = Path(spec.origin).parent / _MESHES
    parts = (*LINKS, "hand", "finger")
    meshes = {f"{part}_collision.stl": (source / "collision" / f"{part}.stl").read_bytes() for part in parts}
    for part in parts:
        meshes[f"{part}.stl"] = _decimated(source / "visual" / f"{part}.stl")
    return meshes


def _decimated(path: Path) -> bytes:
    data = path.read_bytes()
    recipe = f"{VISUAL_FACES}/{version('fast-simplification')}".encode()
    key = hashlib.sha256(recipe + data).hexdigest()[:16]
    cached = cache_dir() / "meshes" / f"{path.stem}-{key}.stl"
    if not cached.exists():
        import trimesh

        mesh = trimesh.load_mesh(path, file_type="stl")
        if len(mesh.faces) > VISUAL_FACES:
            mesh = mesh.simplify_quadric_decimation(face_count=VISUAL_FACES)
        cached.parent.mkdir(parents=True, exist_ok=True)
        stl = mesh.export(file_type="stl")
        assert isinstance(stl, bytes)  # STL is binary; other formats give text or a dictionary
        # Several workers may get here at once: write aside, then rename.
        with tempfile.NamedTemporaryFile(dir=cached.parent, delete=False) as file:
            file.write(stl)
        os.replace(file.name, cached)
    return cached.read_bytes()
