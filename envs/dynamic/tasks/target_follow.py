"""Keep the gripper over the cart of the named colour."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from envs.dynamic.task import TABLE, TICK_S, Command, DynamicTask, drawn_speed
from envs.rlbench.world import World

SPEED = (0.07, 0.17)  # m/s
NEAR = 0.03  # m from the point over the cart
_BEACON = 0.085  # m: the ball's height over the table
_OVER = 0.05  # m from the ball up to where the tip should be
_CENTRE_LOW, _CENTRE_HIGH = np.array([0.25, -0.06]), np.array([0.33, 0.06])  # m
_HALF_AXES = ((0.13, 0.17), (0.10, 0.13))  # m
_POINTS = 400  # of the loop, for its length


class TargetFollow(DynamicTask):
    """Two carts drive round on one loop, half a loop apart."""

    name = "target_follow"
    hold_s = 1.5

    def scene(self) -> str:
        """The carts, which collide with nothing: a dark windscreen in front, and a ball on a mast."""
        carts = ""
        for i in range(2):
            wheels = "".join(
                f'<geom class="visual" type="cylinder" size=".011 .005" pos="{x} {y} .011" euler="1.5708 0 0" '
                'rgba=".12 .12 .13 1"/>'
                for x in (-0.025, 0.025)
                for y in (-0.026, 0.026)
            )
            carts += f"""
            <body name="cart{i}" mocap="true">
              <geom class="visual" type="box" size=".042 .024 .011" pos="0 0 .022" rgba=".88 .88 .9 1"/>
              <geom class="visual" type="box" size=".009 .022 .009" pos=".030 0 .037" rgba=".10 .11 .14 1"/>
              <geom class="visual" type="cylinder" size=".004 .02" pos="-.005 0 .05" rgba=".25 .26 .28 1"/>
              <geom name="paint{i}" class="visual" type="sphere" size=".022" pos="-.005 0 {_BEACON}"/>
              <site name="beacon{i}" pos="-.005 0 {_BEACON}" group="5"/>{wheels}
            </body>"""
        return carts

    def place(self, world: World, rng: np.random.Generator) -> None:
        """Draws the loop, an ellipse, and where on it the carts are; the way round is drawn too."""
        self._speed = drawn_speed(rng, SPEED)
        self._centre = rng.uniform(_CENTRE_LOW, _CENTRE_HIGH)
        self._axes = np.array([rng.uniform(*bounds) for bounds in _HALF_AXES])
        turn = rng.uniform(0, np.pi)
        self._turn = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        self._way_round = 1.0 if rng.integers(2) else -1.0
        corners = self._point(np.linspace(0, 2 * np.pi, _POINTS + 1))
        # Way along the loop at each of its points: carts keep their speed in the bends.
        self._way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
        self._driven = float(rng.uniform(0, self._way[-1]))
        self._set(world)

    def drive(self, world: World, seconds: float) -> None:
        """Moves the carts on."""
        self._driven += self._speed * seconds
        self._set(world)

    def achieved(self, world: World) -> bool:
        """The tip is over the named cart's ball."""
        return bool(np.linalg.norm(world.tip.position - self._goal(0.0)) < NEAR)

    def lost(self, world: World) -> bool:
        """It never is."""
        return False

    def instructions(self, color: str) -> Sequence[str]:
        """Names the colour."""
        return (f"follow the {color} ball", f"keep the gripper over the cart with the {color} ball")

    def expert(self, world: World) -> Command:
        """To where the point over the ball will be a tick later."""
        return Command(self._goal(TICK_S), open=True, on_the_way=True)

    def _goal(self, seconds: float) -> Float[np.ndarray, "3"]:
        """The point over the named cart's ball, so many seconds from now."""
        place, heading = self._cart(0, self._driven + self._speed * seconds)
        ball = place - 0.005 * np.array([np.cos(heading), np.sin(heading)])
        return np.array([*ball, TABLE + _BEACON + _OVER])

    def _set(self, world: World) -> None:
        for i in range(2):
            place, heading = self._cart(i, self._driven)
            number = world.model.body(f"cart{i}").mocapid[0]
            world.data.mocap_pos[number] = (*place, TABLE)
            world.data.mocap_quat[number] = (np.cos(heading / 2), 0.0, 0.0, np.sin(heading / 2))

    def _cart(self, i: int, driven: float) -> tuple[Float[np.ndarray, "2"], float]:
        """Place (m) and heading (rad) of a cart after so much way."""
        way = (driven + i * self._way[-1] / 2) % self._way[-1]
        angle = float(np.interp(way, self._way, np.linspace(0, 2 * np.pi, _POINTS + 1)))
        ahead = self._point(np.array([angle, angle + 1e-3]))
        x, y = ahead[1] - ahead[0]
        return ahead[0], float(np.arctan2(y, x))

    def _point(self, angle: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
        """Points of the loop."""
        circle = np.stack([np.cos(angle), self._way_round * np.sin(angle)], axis=1)
        return self._centre + (circle * self._axes) @ self._turn.T
