"""Which of several equivalent hand yaws the expert takes when an object looks the same after a turn."""

import numpy as np

# A hand facing down turns by 60 degrees and more to either side of this yaw anywhere in the workspace, rad.
MIDDLE = np.deg2rad(20.0)


def comfortable(yaw: float, period: float) -> float:
    """The yaw nearest to the middle of the wrist's range among those that differ by whole periods.

    Args:
        yaw: Any of the equivalent yaws, rad.
        period: The turn under which object or gripper look the same, rad: pi for a parallel gripper, pi / 2 for a
            square, 2 pi where nothing repeats.

    Returns:
        A yaw in [MIDDLE - period / 2, MIDDLE + period / 2), rad.
    """
    low = MIDDLE - period / 2
    return float((yaw - low) % period + low)
