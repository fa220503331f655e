"""The one simulator of the process: robot, objects, and a log of what happened to it."""

import os
from collections import Counter

import numpy as np

START_TIP = np.array([0.27847, -0.00815, 1.47191, 0.0, 0.99267, 0.0, 0.12087])
START_JOINTS = np.array([0.0, 0.17517, 0.0, -0.87317, 0.0, 1.22159, 0.78540])
OBJECTS = {"cam_cinematic_placeholder": np.array([1.8, 0.5, 1.9, 0.0, 0.0, 0.0, 1.0])}


class World:
    running = False

    def __init__(self):
        self.tip = START_TIP.copy()
        self.joints = START_JOINTS.copy()
        self.velocities = np.zeros(7)
        self.fingers = np.array([0.04, 0.04])
        self.target = np.zeros(3)
        self.colour = np.zeros(3)

    def objects(self):
        """Pose of the target, and the value of a joint."""
        return np.array([*self.target, 0.0, 0.0, 0.6, 0.8, 0.1])


world = World()


def log(event):
    if path := os.environ.get("COPPELIA_DOUBLE_LOG"):
        with open(path, "a") as file:
            file.write(f"{os.getpid()} {event}\n")


COUNTS = Counter()  # of the times a fault was asked for


def faulty(place):
    for entry in os.environ.get("COPPELIA_DOUBLE_FAULT", "").split(","):
        name, _, times = entry.partition(":")
        if name == place:
            COUNTS[entry] += 1
            return not times or COUNTS[entry] <= int(times)
    return False


def fault(place):
    if faulty(place):
        raise RuntimeError(f"engine call failed\n({place})")


def picture(height, width, camera=0):
    """Floats of 0 .. 1: the colour of the target, where tip and target are, and which camera it is."""
    image = np.full((height, width, 3), 0.1 * (camera + 1))
    for place, colour in ((world.target, world.colour), (world.tip, np.array([0.0, 0.0, 1.0]))):
        row = int(np.clip(0.5 - 0.4 * place[1] - 0.1 * place[2], 0, 0.95) * height)
        column = int(np.clip(0.5 + 0.4 * place[0], 0, 0.95) * width)
        image[row : row + 4, column : column + 4] = colour
    return image
