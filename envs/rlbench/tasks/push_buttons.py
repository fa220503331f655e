"""Push one, two or three buttons in the order that the sentence names."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np

from envs.rlbench.palette import COLOR_NAMES, PALETTE
from envs.rlbench.pose import Pose, yaw_pose
from envs.rlbench.task import Keyframe, Task, facing_down, scatter
from envs.rlbench.world import World

_BUTTONS = 3
_TRAVEL = 0.007  # m
_PRESSED = 0.001  # m, the PerAct fork's threshold (upstream: 0.003)
# m between button centres, at least: the diagonal of a base, since each may be turned any way.
_GAP = 0.1 * np.sqrt(2)
_MARGIN = 0.07  # m: half a diagonal
_NAMES = tuple(color for color in COLOR_NAMES if color not in ("red", "lime"))
# Ordered triples in lexicographic order; 50 variations reach the first 17.
_TRIPLES = tuple(permutations(_NAMES, _BUTTONS))[:17]


class PushButtons(Task):
    """Variation v: colours of triple v // 3, the first 1 + v % 3 of them to be pushed in order."""

    name = "push_buttons"
    variations = 50
    extent = (-0.258, 0.258, -0.339, 0.339)

    def bodies(self) -> str:
        """Three buttons: a coloured base, a red cap on a spring."""
        xml = '<body name="root"/>'
        for i in range(_BUTTONS):
            xml += f"""
            <body name="button{i}">
              <geom name="base{i}" class="static" type="box" size=".05 .05 .0105" pos="0 0 .009"/>
              <geom class="visual" type="cylinder" size=".034 .003" pos="0 0 .0205" rgba=".2 .2 .2 1"/>
              <body name="cap{i}" pos="0 0 .0245">
                <joint name="press{i}" type="slide" axis="0 0 -1" range="0 {_TRAVEL}" stiffness="120" damping="3"
                       springref="-.01" armature=".01"/>
                <geom class="articulated" type="cylinder" size=".028 .005" mass=".07" rgba=".85 .06 .05 1"/>
              </body>
            </body>"""
        return xml

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """Scatters the buttons over the boundary; spare ones take colours that the sentence does not name."""
        self._wanted = 1 + variation % _BUTTONS
        self._pushed = 0
        colors = list(_TRIPLES[variation // _BUTTONS])
        spare = [name for name in _NAMES if name not in colors[: self._wanted]]
        for i in range(self._wanted, _BUTTONS):
            colors[i] = spare.pop(int(rng.integers(len(spare))))
        x0, x1, y0, y1 = self.extent
        points = scatter(rng, _BUTTONS, (x0 + _MARGIN, y0 + _MARGIN), (x1 - _MARGIN, y1 - _MARGIN), _GAP)
        root = world.pose("root")
        for i, (x, y) in enumerate(points):
            world.place(f"button{i}", root * yaw_pose(x, y, 0.0, rng.uniform(-np.pi, np.pi)))
            world.color(f"base{i}", PALETTE[colors[i]])

    def update(self, world: World) -> None:
        """Counts the buttons pushed in order; a wrong button changes nothing."""
        while self._pushed < self._wanted and world.joint(f"press{self._pushed}") > _PRESSED:
            self._pushed += 1

    def success(self, world: World) -> bool:
        """All wanted buttons were pushed in order."""
        return self._pushed >= self._wanted

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the colours in order."""
        colors = _TRIPLES[variation // _BUTTONS][: 1 + variation % _BUTTONS]
        if len(colors) == 1:
            return (
                f"press the {colors[0]} button",
                f"push down on the button with the {colors[0]} base",
                f"make contact with the {colors[0]} button until it goes in",
            )
        listed = ", then the ".join(colors)
        return (
            f"press the {listed} button",
            f"push the buttons in this order: the {listed} one",
            f"first press the {listed} button",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Above each button with closed fingers, then down on it."""
        keyframes = []
        for i in range(self._wanted):
            button = world.pose(f"button{i}")
            rotation = facing_down(0.0)
            keyframes.append(Keyframe(Pose(button.at(0, 0, 0.091), rotation), False))
            keyframes.append(Keyframe(Pose(button.at(0, 0, 0.020), rotation), False))
        return keyframes
