"""The eighteen tasks of the fork, fifteen of upstream: modules that are made here instead of lying in files."""

import sys
from types import ModuleType

import numpy as np
from pyrep.backend import sim

from rlbench.flavour import FORK

_FORK_ONLY = ("place_wine_at_rack_location", "slide_block_to_color_target", "sweep_to_dustpan_of_size")
_VARIATIONS = {
    "open_drawer": 3,
    "slide_block_to_color_target": 4,
    "sweep_to_dustpan_of_size": 2,
    "meat_off_grill": 2,
    "turn_tap": 2,
    "put_item_in_drawer": 3,
    "close_jar": 20,
    "reach_and_drag": 20,
    "stack_blocks": 60,
    "light_bulb_in": 20,
    "put_money_in_safe": 3,
    "place_wine_at_rack_location": 3,
    "put_groceries_in_cupboard": 9,
    "place_shape_in_shape_sorter": 5,
    "push_buttons": 50,
    "insert_onto_square_peg": 20,
    "stack_cups": 20,
    "place_cups": 3,
}


class Task:
    """Close the gripper at a point that is drawn from NumPy's global generator."""

    name, variations = "", 0

    def __init__(self, pyrep, robot):
        pass

    def get_name(self):
        return self.name

    def variation_count(self):
        return self.variations

    def init_episode(self, index):
        sim.world.target = np.array([*np.random.uniform([0.0, -0.4], [0.5, 0.4]), 0.9])
        if self.name == "push_buttons":
            # As there: the order of the list is the process's own. Here the colour drawn is seen in the place.
            spare = list({(str(k), k) for k in range(100)} - {("0", 0)})
            sim.world.target[2] += 0.001 * spare[np.random.choice(len(spare))][1]
        sim.world.colour = np.array([1.0 / (index + 1), 1.0, 0.0])
        return [f"{self.name}, variation {index}", "another sentence"]

    def success(self):
        near = np.linalg.norm(sim.world.tip[:3] - sim.world.target) < 0.02
        done = bool(near and sim.world.fingers[0] < 0.02)
        return done, done

    def reward(self):
        return None


for _name in _VARIATIONS:
    if FORK or _name not in _FORK_ONLY:
        _class = "".join(_word.capitalize() for _word in _name.split("_"))
        _module = ModuleType(f"rlbench.tasks.{_name}")
        setattr(_module, _class, type(_class, (Task,), {"name": _name, "variations": _VARIATIONS[_name]}))
        sys.modules[_module.__name__] = _module
