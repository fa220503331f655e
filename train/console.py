"""The command line of training runs: what ends them, in words and exit codes."""

import sys
from collections.abc import Callable

from envs.spec import InputError
from envs.suite import load_suite
from train.config import LoopConfig
from train.session import check


def run_command(config: LoopConfig, train: Callable[[], str]) -> int:
    """Runs a training and prints what it leaves.

    Args:
        config: Settings; checked before anything is read.
        train: Trains; returns what to print at the end.

    Returns:
        The exit code: 0, 2 on a user's mistake, 130 when interrupted.
    """
    try:
        load_suite(config.suite)
        check(config)
        print(train())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or "stopped", file=sys.stderr)
        return 130
    return 0
