import os
import time

from pyrep.backend import sim
from pyrep.errors import PyRepError


class PyRep:
    def __init__(self):
        self.running = False
        self._launched = False
        if not os.path.isdir(os.environ.get("COPPELIASIM_ROOT", "")):
            raise PyRepError("COPPELIASIM_ROOT is no folder")

    def launch(self, scene_file="", headless=False, responsive_ui=False, blocking=False):
        before = os.getcwd()
        os.chdir(os.environ["COPPELIASIM_ROOT"])
        if sim.World.running:
            raise RuntimeError("a second simulator in one process")
        assert headless, "a window would open"
        self._launched = sim.World.running = True
        sim.log("launch")
        sim.fault("launch")
        os.chdir(before)

    def start(self):
        if not self._launched:
            raise PyRepError("launch comes first")
        self.running = True

    def step(self):
        pass

    def shutdown(self):
        if not self._launched:
            raise PyRepError("launch comes first")
        self._launched = self.running = sim.World.running = False
        sim.log("shutdown")
        sim.fault("shutdown")
        if sim.faulty("hang"):
            time.sleep(600)
