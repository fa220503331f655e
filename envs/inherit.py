"""What the processes that are started inherit from this one: variables that take effect only at a process's start."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

# RLBench draws from lists made of sets of strings, whose order is the process's own unless its hashing is fixed.
FIXED_HASHING = {"PYTHONHASHSEED": "0"}


@contextmanager
def inherited(variables: dict[str, str]) -> Iterator[None]:
    """Within, processes are started with these environment variables; afterwards all are as they were."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
