"""The Panda with light visual meshes, made once from the installed package's into a cache.

The wrist camera's mesh alone has 425,000 triangles, and a software renderer's time goes with the vertices. Collision
shapes, joints and inertias stay as they are, so the physics does not change.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from envs.rlbench.meshes import cache_dir

FACES = 1500  # kept of each link's visual mesh (of up to 425,000)
_CREASE_RAD = 0.6  # edges sharper than this stay sharp
_VISUAL = re.compile(r"<visual>.*?</visual>", re.DOTALL)
_FILE = re.compile(r'filename="([^"]+)"')


def light_urdf(source: Path) -> Path:
    """A copy of a robot's description whose visual meshes are light; all its paths are absolute.

    Args:
        source: The URDF in the package.

    Returns:
        The URDF in the cache, beside its meshes.
    """
    text = source.read_text()
    recipe = f"2/{FACES}/{_CREASE_RAD}/{version('fast-simplification')}/{version('trimesh')}/{source.parent}"
    names = sorted({name for block in _VISUAL.findall(text) for name in _FILE.findall(block)})
    digest = hashlib.sha256(f"{recipe}\n{text}".encode())
    for name in names:
        digest.update((source.parent / name).read_bytes())
    folder = cache_dir() / "maniskill" / f"{source.stem}-{digest.hexdigest()[:16]}"
    target = folder / source.name
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        light = {name: _decimated(source.parent / name, folder) for name in names}

        def visual(block: re.Match[str]) -> str:
            return _FILE.sub(lambda found: f'filename="{light[found[1]]}"', block[0])

        def absolute(found: re.Match[str]) -> str:
            return f'filename="{source.parent / found[1]}"'  # of one that is absolute already, itself

        _write(target, _FILE.sub(absolute, _VISUAL.sub(visual, text)).encode())
    return target


@contextmanager
def light_robots(agents: list[Any]) -> Iterator[None]:
    """Within, ManiSkill builds these robots (agent classes) with light meshes."""
    before = [agent.urdf_path for agent in agents]
    for agent, path in zip(agents, before, strict=True):
        agent.urdf_path = str(light_urdf(Path(path)))
    try:
        yield
    finally:
        for agent, path in zip(agents, before, strict=True):
            agent.urdf_path = path


def _decimated(path: Path, folder: Path) -> Path:
    """The light mesh of a file, in the same format and with the same materials."""
    import trimesh

    target = folder / f"{path.stem}{path.suffix}"
    loaded = trimesh.load(path, process=False)
    scene = loaded if isinstance(loaded, trimesh.Scene) else trimesh.Scene(loaded)
    total = sum(len(mesh.faces) for mesh in scene.geometry.values())
    result = trimesh.Scene()
    for node in scene.graph.nodes_geometry:
        transform, name = scene.graph[node]
        mesh = scene.geometry[name]
        mesh = _simplified(mesh, round(FACES * len(mesh.faces) / total))
        result.add_geometry(mesh, transform=transform)
    kind = path.suffix[1:].lower()
    whole: Any = result.to_geometry() if kind == "stl" else result
    data = whole.export(file_type=kind)
    assert isinstance(data, bytes)
    _write(target, data)
    return target


def _simplified(mesh: Any, faces: int) -> Any:
    import numpy as np
    import trimesh

    material = getattr(mesh.visual, "material", None)
    # Vertices are split where the original is sharp; together they can be decimated.
    merged = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)
    faces = max(faces, 12)
    for take in (lambda mesh: mesh, lambda mesh: mesh.convex_hull):
        whole = take(merged)
        light = whole.simplify_quadric_decimation(face_count=faces) if len(whole.faces) > faces else whole
        if len(light.faces) <= 2 * faces:
            break  # else it is of many pieces, as the camera's is, which only their hull brings down
    light = trimesh.graph.smooth_shade(light, angle=_CREASE_RAD)
    if material is not None:
        light.visual = trimesh.visual.TextureVisuals(uv=np.zeros((len(light.vertices), 2)), material=material)
    return light


def _write(path: Path, data: bytes) -> None:
    # Several workers may get here at once: write aside, then rename.
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    os.replace(file.name, path)
