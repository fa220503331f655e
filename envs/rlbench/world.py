"""A compiled MuJoCo world of one task: the lab, the robot, the task's objects, and short names for what tasks do."""

from collections.abc import Iterable
from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from envs.rlbench import lab, panda
from envs.rlbench.meshes import panda_meshes
from envs.rlbench.pose import Pose

TIMESTEP = 0.002  # s
CHANGED = ("body_pos", "body_quat", "geom_rgba")  # what placing and painting change in a model

# Collision bits: the robot collides with all else, objects with everything; statics and articulated parts (drawers,
# buttons, taps: they move inside their static mounts) not among themselves.
_MJCF = """
<mujoco model="rlbench">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{timestep}" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <size memory="64M"/>
  <visual>
    <quality offsamples="{samples}" shadowsize="{shadow}"/>
    <global offwidth="{width}" offheight="{height}"/>
    <headlight ambient=".34 .34 .34" diffuse=".12 .12 .12" specular="0 0 0"/>
    <map znear="0.004" zfar="12"/>
  </visual>
  <default>
    <default class="visual"><geom contype="0" conaffinity="0" group="2" mass="0"/></default>
    <default class="robot"><geom contype="1" conaffinity="6" group="3" mass="0" solref=".004 1"/></default>
    <default class="static">
      <geom contype="2" conaffinity="5" group="1" friction=".8 .01 .001" solref=".004 1"/>
    </default>
    <default class="object">
      <geom contype="4" conaffinity="7" group="1" friction="1 .02 .001" solref=".004 1" solimp=".95 .99 .001"
            condim="4"/>
    </default>
    <default class="articulated">
      <geom contype="0" conaffinity="5" group="1" friction="1 .02 .001" solref=".004 1" solimp=".95 .99 .001"/>
    </default>
    <default class="sensor"><geom contype="0" conaffinity="0" group="5" mass="0" rgba="0 1 0 .2"/></default>
  </default>
  <asset>{assets}</asset>
  <worldbody>{lab}{robot}{bodies}</worldbody>
  <equality>{equality}</equality>
  <actuator>{actuators}</actuator>
</mujoco>
"""


@dataclass(frozen=True)
class Quality:
    """Rendering quality; part of the protocol where observations are concerned.

    Attributes:
        samples: Multisampling (0: off).
        shadow: Shadow map size in pixels (0: no shadows).
    """

    samples: int = 0
    shadow: int = 0


PICTURE_QUALITY = Quality(samples=4, shadow=2048)


class World:
    """Model and state of one task, with poses in world coordinates (m, quaternions xyzw)."""

    def __init__(
        self,
        assets: str,
        files: dict[str, bytes],
        bodies: str,
        graspable: Iterable[str],
        quality: Quality,
        size: tuple[int, int],
    ) -> None:
        """Compiles the world.

        Args:
            assets: MJCF assets of the task.
            files: Files that the assets name (textures).
            bodies: MJCF bodies of the task.
            graspable: Names of free bodies that a closed gripper may hold.
            quality: Rendering quality compiled into the model.
            size: Largest height and width that will be rendered, pixels.
        """
        self.graspable = tuple(graspable)
        lab_xml, textures = lab.lab_assets()
        equality = "".join(
            f'<weld name="grasp_{body}" body1="hand" body2="{body}" active="false" solref=".004 1"/>'
            for body in self.graspable
        )
        xml = _MJCF.format(
            timestep=TIMESTEP,
            samples=quality.samples,
            shadow=max(quality.shadow, 1),
            height=size[0],
            width=size[1],
            assets=lab_xml + panda.panda_assets() + assets,
            lab=lab.lab_bodies(),
            robot=panda.panda_body(lab.camera_xml("wrist")),
            bodies=bodies,
            equality=equality,
            actuators=panda.panda_actuators(),
        )
        self.model = mujoco.MjModel.from_xml_string(xml, textures | panda_meshes() | files)
        self.data = mujoco.MjData(self.model)
        self._initial = {name: getattr(self.model, name).copy() for name in CHANGED}
        self.arm_qpos = np.array([self.model.joint(name).qposadr[0] for name in panda.JOINT_NAMES])
        self.arm_dofs = np.array([self.model.joint(name).dofadr[0] for name in panda.JOINT_NAMES])
        self.finger_qpos = np.array([self.model.joint(name).qposadr[0] for name in panda.FINGER_NAMES])
        self.pads = [self.model.geom(f"{name}_pad").id for name in panda.FINGER_NAMES]
        self.held: str | None = None

    def restore(self) -> None:
        """Undoes every change since compilation: poses of fixed bodies, colours, state, grasp."""
        mujoco.mj_resetData(self.model, self.data)
        for name, value in self._initial.items():
            getattr(self.model, name)[:] = value
        self.held = None

    def forward(self) -> None:
        """Recomputes poses and contacts from the state."""
        mujoco.mj_forward(self.model, self.data)

    def place_all(self) -> None:
        """Recomputes poses alone, those of bodies, geometry and cameras, from the state."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def step(self, count: int = 1) -> None:
        """Advances physics by `count` steps of 2 ms."""
        mujoco.mj_step(self.model, self.data, count)

    # -- poses ---------------------------------------------------------------------------------------------------

    def pose(self, body: str) -> Pose:
        """Pose of a body in the world."""
        data = self.data.body(body)
        return Pose(data.xpos.copy(), Rotation.from_quat(data.xquat, scalar_first=True))

    def place(self, body: str, pose: Pose) -> None:
        """Moves a body: a free one by its state, a fixed child of the world by its model pose."""
        model_body = self.model.body(body)
        if model_body.jntnum[0] and self.model.jnt_type[model_body.jntadr[0]] == mujoco.mjtJoint.mjJNT_FREE:
            address = self.model.jnt_qposadr[model_body.jntadr[0]]
            self.data.qpos[address : address + 3] = pose.position
            self.data.qpos[address + 3 : address + 7] = pose.rotation.as_quat(scalar_first=True)
            speed = self.model.jnt_dofadr[model_body.jntadr[0]]
            self.data.qvel[speed : speed + 6] = 0
        else:
            model_body.pos[:] = pose.position
            model_body.quat[:] = pose.rotation.as_quat(scalar_first=True)

    def joint(self, name: str) -> float:
        """Value of a one-dimensional joint, rad or m."""
        return float(self.data.qpos[self.model.joint(name).qposadr[0]])

    def color(self, geom: str, rgb: tuple[float, float, float]) -> None:
        """Paints a geom."""
        self.model.geom(geom).rgba[:3] = rgb

    def in_sensor(self, body: str, sensor: str) -> bool:
        """Whether any part of a body reaches into a sensor volume, as RLBench's proximity sensors see it.

        The volumes are the ones measured in RLBench, less the marker of 5 mm that a sensor's bounding box includes.

        Args:
            body: Body whose colliding geoms are tested.
            sensor: Name of a geom of class "sensor".
        """
        model, first = self.model, self.model.body(body).geomadr[0]
        volume = model.geom(sensor).id
        nearest = np.zeros(6)
        return any(
            model.geom_contype[geom] and mujoco.mj_geomDistance(model, self.data, geom, volume, 0.01, nearest) <= 0.0
            for geom in range(first, first + model.body(body).geomnum[0])
        )

    @property
    def released(self) -> bool:
        """Whether the gripper holds nothing."""
        return self.held is None and not self.touched()

    # -- robot ---------------------------------------------------------------------------------------------------

    @property
    def arm(self) -> Float[np.ndarray, "7"]:
        """Joint angles, rad."""
        return self.data.qpos[self.arm_qpos].copy()

    @property
    def fingers(self) -> Float[np.ndarray, "2"]:
        """Opening of each finger, m."""
        return self.data.qpos[self.finger_qpos].copy()

    @property
    def tip(self) -> Pose:
        """Pose of the point between the finger tips; z along the approach."""
        return self.pose("tip")

    def command(self, arm: Float[np.ndarray, "7"]) -> None:
        """Sets the servo targets of the arm, rad."""
        self.data.ctrl[:7] = arm

    def command_fingers(self, opening: float) -> None:
        """Sets the servo target of both fingers, m each."""
        self.data.ctrl[7:9] = opening

    def touched(self) -> list[str]:
        """Graspable bodies that touch both finger pads."""
        contact = self.data.contact
        pairs = np.stack([contact.geom1, contact.geom2], axis=1)
        touching = []
        for pad in self.pads:
            others = pairs[(pairs == pad).any(axis=1)]
            geoms = others[others != pad]
            touching.append({self.model.body(int(self.model.geom_bodyid[geom])).name for geom in geoms})
        return [body for body in self.graspable if body in touching[0] & touching[1]]

    def attach(self, body: str) -> None:
        """Welds a body to the hand where it is."""
        weld = self.model.equality(f"grasp_{body}").id
        relative = self.pose("hand").inverse() * self.pose(body)
        self.model.eq_data[weld, 3:6] = relative.position
        self.model.eq_data[weld, 6:10] = relative.rotation.as_quat(scalar_first=True)
        self.model.eq_data[weld, 0:3] = 0
        self.model.eq_data[weld, 10] = 1
        self.data.eq_active[weld] = 1
        self.held = body

    def release(self) -> None:
        """Lets go of a welded body."""
        if self.held is not None:
            self.data.eq_active[self.model.equality(f"grasp_{self.held}").id] = 0
            self.held = None
