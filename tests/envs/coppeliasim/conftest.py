import pickle
import sys
from pathlib import Path

import pytest

from envs.coppeliasim.env import CoppeliaEnv
from envs.spec import Episode
from envs.suite import load_suite

DOUBLE = Path(__file__).parent / "double"


def forget():
    """The next import of PyRep and RLBench reads the flavour anew."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("pyrep", "rlbench")]:
        del sys.modules[name]


@pytest.fixture
def rlbench():
    return load_suite("rlbench18")


@pytest.fixture
def coppelia(tmp_path, monkeypatch):
    """Installs the double: `coppelia("fork", fault="launch")`."""
    root = tmp_path / "CoppeliaSim"
    root.mkdir()
    (root / "libcoppeliaSim.so.1").touch()
    monkeypatch.setenv("COPPELIASIM_ROOT", str(root))
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/usr/lib:{root}")
    monkeypatch.setenv("QT_QPA_PLATFORM_PLUGIN_PATH", str(root))
    monkeypatch.setenv("DISPLAY", "elsewhere:0")
    monkeypatch.setenv("COPPELIA_DOUBLE_LOG", str(tmp_path / "simulator.log"))
    monkeypatch.syspath_prepend(str(DOUBLE))

    def use(flavour="fork", fault=""):
        monkeypatch.setenv("COPPELIA_DOUBLE_FLAVOUR", flavour)
        monkeypatch.setenv("COPPELIA_DOUBLE_FAULT", fault)
        forget()

    use()
    yield use
    monkeypatch.setenv("COPPELIA_DOUBLE_FAULT", "")
    if CoppeliaEnv._launched is not None:
        CoppeliaEnv._launched.close()
    forget()


@pytest.fixture(params=["upstream", "fork"])
def flavour(request, coppelia):
    coppelia(request.param)
    return request.param


@pytest.fixture
def happened(tmp_path):
    """What happened to the simulators: a list of (process id, event)."""

    def read():
        path = tmp_path / "simulator.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [tuple(line.split(" ", 1)) for line in lines]

    return read


@pytest.fixture
def dataset(tmp_path, coppelia, rlbench):
    """Writes stored demonstrations of turn_tap with the installed double: `dataset("peract", variations=[1, 0])`."""

    def write(layout, variations, task="turn_tap"):
        demos = tmp_path / f"{layout}_demos"
        env = rlbench.make(task, "coppeliasim")
        for k, variation in enumerate(variations):
            env.reset(Episode("rlbench18", task, variation, 500 + k))
            demo = env._live_demo(env._episode)
            for observation in demo:
                observation.misc = {}
            name = f"episode{k}" if layout == "peract" else f"episode{variations[:k].count(variation)}"
            pool = "all_variations" if layout == "peract" else f"variation{variation}"
            folder = demos / task / pool / "episodes" / name
            folder.mkdir(parents=True)
            (folder / "low_dim_obs.pkl").write_bytes(pickle.dumps(demo))
            if layout == "peract":
                (folder / "variation_number.pkl").write_bytes(pickle.dumps(variation))
                (folder / "variation_descriptions.pkl").write_bytes(pickle.dumps(["a sentence"]))
        env.close()
        return demos

    return write
