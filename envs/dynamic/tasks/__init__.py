"""The tasks: one file each, found by name."""

from importlib import import_module

from envs.dynamic.task import DynamicTask


def load(name: str) -> type[DynamicTask]:
    """The task class of `envs/dynamic/tasks/<name>.py`.

    Raises:
        ModuleNotFoundError: No such task.
    """
    module = import_module(f"envs.dynamic.tasks.{name}")
    (task,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, DynamicTask) and getattr(value, "name", None) == name
    )
    return task
