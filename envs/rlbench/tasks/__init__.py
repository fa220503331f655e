"""The tasks: one file each, found by name."""

from importlib import import_module

from envs.rlbench.task import Task


def load(name: str) -> type[Task]:
    """The task class of `envs/rlbench/tasks/<name>.py`.

    Raises:
        ModuleNotFoundError: No such task.
    """
    module = import_module(f"envs.rlbench.tasks.{name}")
    (task,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Task) and getattr(value, "name", None) == name
    )
    return task
