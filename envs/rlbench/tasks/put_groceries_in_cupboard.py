"""Put one of nine groceries into the cupboard."""

from collections.abc import Sequence

import numpy as np

from envs.rlbench import panda
from envs.rlbench.footprint import apart, rectangle, strip
from envs.rlbench.groceries import GROCERIES, Grocery, asset, free_body, picture
from envs.rlbench.lab import TABLE_TOP, WORKSPACE_HIGH, WORKSPACE_LOW
from envs.rlbench.pose import Pose, yaw_pose
from envs.rlbench.task import Keyframe, PlacementError, Task, approach, facing_down, half_turn
from envs.rlbench.world import World

# The cupboard: x from its front into its depth, y along its front, m. Two closed doors below, an open shelf above them.
_WIDTH, _DEPTH, _HEIGHT = 0.33, 0.22, 0.45
_SHELF, _CEILING = 0.245, 0.43  # m: heights of the open compartment
_BOARD, _RIM = 0.012, 0.008  # m: thickness of the boards; how far the top stands out
_PAINT, _GROOVE, _WOOD, _LINING = ".62 .73 .66 1", ".36 .45 .39 1", ".50 .32 .18 1", ".95 .92 .84 1"
_SENSOR_FRONT = 0.03  # m behind the cupboard's front
_GAP = 0.1  # m between groceries, at least
_PLACE_TRIES, _LAYOUTS = 150, 20
# What the hand needs around a grocery to grasp it from above: half sizes across and along the fingers' opening, m.
_HAND = (0.04, 0.11)
_ARM = 0.09  # m: half width of the arm that reaches over the table
_OVER_Z = 0.16  # m above the grasp: the fingers are over the tallest neighbour
_CARRY_Z = 0.32  # m above the table: what is carried passes over the others, and into the compartment
_BELOW_TOP = 0.026  # m from the top of a grocery down to the finger tips (the palm would meet it at 0.037)
_LOWEST = 0.0125  # m above the table: the finger tips just off it
_BEFORE, _INSIDE = -0.15, 0.08  # m from the cupboard's front: tips before and inside it


class PutGroceriesInCupboard(Task):
    """Variation: index into `GROCERIES`.

    A grocery is taken from above by its upper end. Before the cupboard the hand is pitched up until it is level, and
    goes in straight, the grocery's foot first: so one grasp serves all nine, and the compartment may be low.
    """

    name = "put_groceries_in_cupboard"
    variations = len(GROCERIES)
    extent = (-0.10, _DEPTH + _RIM, -_WIDTH / 2 - _RIM, _WIDTH / 2 + _RIM)
    yaw_bounds = (-1.0, 1.0)
    graspable = tuple(item.body for item in GROCERIES)

    def assets(self) -> str:
        """Printed packages."""
        return "".join(asset(item) for item in GROCERIES)

    def files(self) -> dict[str, bytes]:
        """What is printed on them."""
        return {f"{item.body}.png": picture(item) for item in GROCERIES}

    def bodies(self) -> str:
        """The cupboard, and the groceries."""
        return f'<body name="root">{_cupboard()}</body>' + "".join(free_body(item) for item in GROCERIES)

    def place(self, world: World, variation: int, rng: np.random.Generator) -> None:
        """Scatters the groceries over the workspace, each where the arm can take it from above without another."""
        self._item = GROCERIES[variation]
        root = world.pose("root")
        for _ in range(_LAYOUTS):
            layout = _layout(rng, root, self._item)
            if layout is not None:
                break
        else:
            raise PlacementError("no room for the groceries")
        for item, (x, y, yaw) in zip(GROCERIES, layout, strict=True):
            world.place(item.body, yaw_pose(x, y, TABLE_TOP, yaw))

    def success(self, world: World) -> bool:
        """The named grocery is in the open compartment and the gripper holds nothing."""
        return world.released and world.in_sensor(self._item.body, "inside")

    def instructions(self, variation: int) -> Sequence[str]:
        """Names the grocery."""
        name = GROCERIES[variation].name
        return (
            f"put the {name} in the cupboard",
            f"place the {name} inside the cupboard",
            f"stow the {name} on the shelf of the cupboard",
        )

    def expert(self, world: World) -> list[Keyframe]:
        """Takes the grocery from above, carries it before the compartment, pitches the hand up, pushes it in."""
        root, item = world.pose("root"), world.pose(self._item.body)
        x, y, _ = item.position
        down = facing_down(grasp_yaw(self._item, item.yaw))
        tips = max(self._item.size[2] - _BELOW_TOP, _LOWEST)
        upright = facing_down(root.yaw)
        level = approach(root.rotation.apply([1.0, 0.0, 0.0]), root.rotation.apply([0.0, 1.0, 0.0]))
        before, inside = (root.at(depth, 0, _CARRY_Z) for depth in (_BEFORE, _INSIDE))

        def over(height: float) -> Pose:
            return Pose(np.array([x, y, TABLE_TOP + height]), down)

        return [
            Keyframe(over(tips + _OVER_Z), True),
            Keyframe(over(tips), False, linear=True),
            Keyframe(over(_CARRY_Z), False, linear=True),
            Keyframe(Pose(before, upright), False),
            Keyframe(Pose(before, level), False),
            Keyframe(Pose(inside, level), True, linear=True),
        ]


def grasp_yaw(item: Grocery, yaw: float) -> float:
    """Yaw of the hand that takes a package across its thin side; a round one it takes as the hand starts."""
    return 0.0 if item.kind == "can" else half_turn(yaw)


def _layout(rng: np.random.Generator, root: Pose, wanted: Grocery) -> list[tuple[float, float, float]] | None:
    """x, y (m, world) and yaw of each grocery, or None where one finds no place."""
    cupboard = rectangle(root.at(_DEPTH / 2, 0, 0)[:2], (_DEPTH / 2 + 0.02, _WIDTH / 2 + 0.02), root.yaw)
    base, before = np.array(panda.BASE_POSITION[:2]), root.at(_BEFORE, 0, 0)[:2]
    layout: list[tuple[float, float, float]] = []
    footprints: list[np.ndarray] = []
    hands: list[np.ndarray] = []
    for item in GROCERIES:
        for _ in range(_PLACE_TRIES):
            yaw = rng.uniform(-np.pi, np.pi)
            centre = rng.uniform(WORKSPACE_LOW, WORKSPACE_HIGH)
            if any(np.hypot(*(centre - other[:2])) < _GAP for other in layout):
                continue
            footprint = rectangle(centre, (item.size[0] / 2, item.size[1] / 2), yaw)
            if (footprint < WORKSPACE_LOW).any() or (footprint > WORKSPACE_HIGH).any():
                continue
            hand = rectangle(centre, _HAND, grasp_yaw(item, yaw))
            # Neither the arm over the wanted one nor the hand that carries it to the front may meet the cupboard.
            ways = (strip(base, centre, _ARM), strip(centre, before, _HAND[1])) if item is wanted else ()
            if (
                all(apart(area, cupboard) for area in (hand, *ways))
                and all(apart(hand, other) for other in footprints)
                and all(apart(footprint, other) for other in hands)
            ):
                layout.append((float(centre[0]), float(centre[1]), yaw))
                footprints.append(footprint)
                hands.append(hand)
                break
        else:
            return None
    return layout


def _cupboard() -> str:
    """MJCF of boards, doors, and the sensor in the open compartment."""
    wide, deep, high, thin = _WIDTH / 2, _DEPTH / 2, _HEIGHT / 2, _BOARD / 2
    room = wide - _BOARD  # half the width inside
    inside, rise = (_CEILING + _SHELF) / 2, (_CEILING - _SHELF) / 2  # middle and half height of the compartment
    boards = (
        *(_box("static", (deep, side * (wide - thin), high), (deep, thin, high), _PAINT) for side in (-1, 1)),
        _box("static", (_DEPTH - thin, 0, high), (thin, room, high), _PAINT),
        _box("static", (deep - thin, 0, _SHELF - 0.01), (deep - thin, room, 0.01), _PAINT),
        _box("static", (deep - thin, 0, _CEILING + 0.01), (deep - thin, room, 0.01), _PAINT),
        _box("static", (deep, 0, _HEIGHT + thin), (deep + _RIM, wide + _RIM, thin), _WOOD),
        _box("static", (0.02, 0, 0.018), (thin, room, 0.018), _GROOVE),
        *(
            _box("static", (-0.004, side * wide / 2, 0.128), (0.004, wide / 2 - 0.003, 0.092), _PAINT)
            for side in (-1, 1)
        ),
    )
    lining = (
        _box("visual", (_DEPTH - _BOARD, 0, inside), (0.0006, room, rise), _LINING),
        _box("visual", (deep - thin, 0, _SHELF), (deep - thin - 0.001, room, 0.0006), _LINING),
        *(_box("visual", (deep - thin, side * room, inside), (deep - thin - 0.001, 0.0006, rise), _LINING)
          for side in (-1, 1)),
    )  # fmt: skip
    grooves = (
        *(_box("visual", (x, side * wide, high), (0.0015, 0.0006, high), _GROOVE)
          for side in (-1, 1) for x in (0.055, 0.11, 0.165)),
        *(_box("visual", (_DEPTH, y, high), (0.0006, 0.0015, high), _GROOVE) for y in (-0.11, -0.055, 0, 0.055, 0.11)),
    )  # fmt: skip
    knobs = "".join(
        f'<geom class="static" type="sphere" size=".010" pos="-.016 {side * 0.024} .19" material="steel"/>'
        for side in (-1, 1)
    )
    # The sensor begins behind the front: what stands out of the compartment for the most part is not in it.
    front, back = _SENSOR_FRONT, _DEPTH - _BOARD
    return f"""{"".join((*boards, *lining, *grooves))}{knobs}
      <geom name="inside" class="sensor" type="box" pos="{(front + back) / 2:.5f} 0 {inside:.5f}"
            size="{(back - front) / 2:.5f} {room:.5f} {rise:.5f}"/>"""


def _box(kind: str, middle: Sequence[float], half: Sequence[float], color: str) -> str:
    x, y, z = middle
    a, b, c = half
    return (
        f'<geom class="{kind}" type="box" pos="{x:.5f} {y:.5f} {z:.5f}" size="{a:.5f} {b:.5f} {c:.5f}" rgba="{color}"/>'
    )
