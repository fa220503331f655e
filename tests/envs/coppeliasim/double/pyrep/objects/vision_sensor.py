from pyrep.backend import sim
from pyrep.const import RenderMode


class VisionSensor:
    @staticmethod
    def create(
        resolution,
        explicit_handling=False,
        perspective_mode=True,
        view_angle=60.0,
        render_mode=RenderMode.OPENGL3,
        position=None,
        orientation=None,
    ):
        if not sim.World.running:
            raise RuntimeError("no simulator")
        sensor = VisionSensor()
        sensor._size, sensor._explicit, sensor._image, sensor._pose = resolution, explicit_handling, None, None
        return sensor

    def set_pose(self, pose, relative_to=None):
        self._pose = pose

    def handle_explicitly(self):
        if not self._explicit:
            raise RuntimeError("explicit handling is off")
        self._image = sim.picture(self._size[1], self._size[0])

    def capture_rgb(self):
        return self._image

    def remove(self):
        self._image = None
