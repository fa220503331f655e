import os

# What the dynamic loader says when it does not find the simulator.
if os.environ["COPPELIASIM_ROOT"] not in os.environ.get("LD_LIBRARY_PATH", ""):
    raise ImportError("libcoppeliaSim.so.1: cannot open shared object file: No such file or directory")

__version__ = "4.1.0.3"

from .pyrep import PyRep  # noqa: F401
