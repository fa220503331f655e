"""Which of several equivalent yaws the expert takes where object or gripper look the same after a turn."""

import numpy as np

# A hand facing down turns by 60 degrees and more to either side of this yaw anywhere in the workspace, rad.
MIDDLE = np.deg2rad(20.0)


def equivalent(yaw: float, period: float, low: float) -> float:
    """Of the yaws that differ by whole periods the one in [low, low + period), rad."""
    return float((yaw - low) % period + low)


def comfortable(yaw: float, period: float) -> float:
    """The yaw nearest to the middle of the wrist's range among those that differ by whole periods.

    Args:
        yaw: Any of the equivalent yaws, rad.
        period: The turn under which object or gripper look the same, rad: pi for a parallel gripper, pi / 2 for a
            square, 2 pi where nothing repeats.

    Returns:
        A yaw in [MIDDLE - period / 2, MIDDLE + period / 2), rad.
    """
    return equivalent(yaw, period, MIDDLE - period / 2)
