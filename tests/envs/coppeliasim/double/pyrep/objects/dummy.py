from pyrep.backend import sim


class Dummy:
    def __init__(self, name_or_handle):
        if name_or_handle not in sim.OBJECTS:
            raise RuntimeError(f"no object {name_or_handle!r}")
        self._name = name_or_handle

    def get_pose(self, relative_to=None):
        return sim.OBJECTS[self._name].copy()
