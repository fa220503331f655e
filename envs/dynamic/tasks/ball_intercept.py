"""Catch the rolling ball of the named colour with a U-shaped catcher."""

from collections.abc import Sequence

import numpy as np

from envs.dynamic.task import TABLE, TICK_S, Command, DynamicTask
from envs.rlbench.pose import yaw_pose
from envs.rlbench.world import World

SPEED = (0.26, 0.38)  # m/s towards the robot
ACROSS = (0.10, 0.26)  # m/s to the left or right
_FROM, _TO = 0.70, 0.24  # m: x where the balls start and where the catcher is at first
_INSIDE, _BEFORE = 0.04, 0.16  # m from the catcher's back to the ball: in it, and while it is beside the catcher
_NEAR = (0.16, 0.24)  # m before the catcher's back: here the expert keeps `_BEFORE`, further out it need not
_ACROSS = (0.015, 0.05)  # m across: aligned; beside
_RADIUS = 0.030  # m
_WIDEST = 0.30  # m: y where the ball reaches the catcher's back, at most
_ASIDE = 0.115  # m: and at least, from its mouth on: else waiting would do
_START = 0.34  # m: y where it starts, at most
_APART = (0.17, 0.22)  # m between the balls
_TIP = 0.105  # m: tip over the table
_DEEP, _HALF_WIDTH = 0.085, 0.064  # m: inside of the catcher
_LOW, _HIGH = 0.006 - _TIP, 0.056 - _TIP  # m: lower and upper edge of its walls, from the tip
_PASSED = 0.13  # m: x behind the catcher


class BallIntercept(DynamicTask):
    """Two balls roll side by side towards the robot; the catcher is mounted on the hand."""

    name = "ball_intercept"
    graspable = ("catcher",)
    tool = "catcher"
    start = (_TO, 0.0, TABLE + _TIP)
    farthest = 0.40
    hold_s = 0.5

    def scene(self) -> str:
        """The catcher, open to the front, with its handle between the fingers, and the balls."""
        middle, height = (_LOW + _HIGH) / 2, (_HIGH - _LOW) / 2
        wall = f'class="object" rgba=".93 .93 .95 1" size="{{}} {{}} {height}" pos="{{}} {{}} {middle}" type="box"'
        outside = _HALF_WIDTH + 0.004
        walls = [(0.004, outside + 0.004, -0.004, 0.0)]
        walls += [(_DEEP / 2, 0.004, _DEEP / 2, y) for y in (-outside, outside)]
        balls = "".join(
            f'<body name="ball{i}"><freejoint/><geom name="paint{i}" class="object" type="sphere" size="{_RADIUS}" '
            'mass=".05"/></body>'
            for i in range(2)
        )
        return f"""
        <body name="catcher"><freejoint/>
          {"".join(f'<geom {wall.format(*numbers)} mass=".03"/>' for numbers in walls)}
          <geom class="visual" type="box" size=".009 .007 {(0.01 - _HIGH) / 2}" pos="-.004 0 {(0.01 + _HIGH) / 2}"
                rgba=".35 .37 .40 1"/>
        </body>{balls}"""

    def place(self, world: World, rng: np.random.Generator) -> None:
        """Draws where the named ball starts and where it will come to the catcher; the other one rolls beside it."""
        speed = rng.uniform(*SPEED)
        seconds = (_FROM - _TO) / speed
        while True:
            across = rng.uniform(*ACROSS) * rng.choice([-1.0, 1.0])
            arrival = rng.uniform(_ASIDE, _WIDEST) * rng.choice([-1.0, 1.0])
            y, at_mouth = arrival - across * np.array([seconds, _DEEP / speed])
            if abs(y) < _START and np.sign(arrival) * at_mouth > _ASIDE:
                break
        self._velocity = np.array([-speed, across, 0.0])
        other = y + rng.uniform(*_APART) * rng.choice([-1.0, 1.0])
        for i, start in enumerate((y, other)):
            world.place(f"ball{i}", yaw_pose(_FROM, float(start), TABLE + _RADIUS))
        self._rolling = False

    def drive(self, world: World, seconds: float) -> None:
        """Sets the balls rolling when time starts; the rest is physics."""
        if self._rolling:
            return
        self._rolling = True
        for i in range(2):
            speeds = world.model.jnt_dofadr[world.model.body(f"ball{i}").jntadr[0]]
            world.data.qvel[speeds : speeds + 3] = self._velocity
            world.data.qvel[speeds + 3 : speeds + 6] = np.cross([0.0, 0.0, 1.0], self._velocity) / _RADIUS

    def achieved(self, world: World) -> bool:
        """The named ball is in the catcher."""
        x, y, z = world.pose("catcher").inverse().at(*world.pose("ball0").position)
        return bool(0.0 < x < _DEEP and abs(y) < _HALF_WIDTH and z < 0.0)

    def lost(self, world: World) -> bool:
        """It rolled past, or off the table."""
        x, _, z = world.pose("ball0").position
        return bool(x < _PASSED or z < TABLE)

    def instructions(self, color: str) -> Sequence[str]:
        """Names the colour."""
        return (f"catch the {color} ball", f"stop the {color} ball with the catcher")

    def expert(self, world: World) -> Command:
        """Goes to the ball, round it where the catcher is beside it, and stays where it is once the ball is in."""
        ball, tip, height = world.pose("ball0").position, world.tip.position, TABLE + _TIP
        if self.achieved(world):
            return Command(np.array([tip[0], tip[1], height]), open=False)
        x, y, _ = ball + self._velocity * TICK_S
        beside = np.interp(abs(ball[1] - tip[1]), _ACROSS, (0.0, 1.0)) * np.interp(ball[0] - tip[0], _NEAR, (1.0, 0.0))
        x = max(x - _INSIDE - beside * (_BEFORE - _INSIDE), _TO)
        return Command(np.array([x, y, height]), open=False, on_the_way=bool(ball[0] - tip[0] > _DEEP))
