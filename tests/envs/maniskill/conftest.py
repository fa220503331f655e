import dataclasses

import pytest

from envs.spec import InputError
from envs.suite import load_suite


def why_not():
    """Why ManiSkill cannot run here; None where it can."""
    from envs.maniskill import install

    try:
        install.check_packages()
        install.check_driver()
    except InputError as error:
        return str(error).splitlines()[0]
    return None


WHY_NOT = why_not()


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("maniskill") is not None and WHY_NOT is not None:
            item.add_marker(pytest.mark.skip(reason=WHY_NOT))


@pytest.fixture
def five():
    """Builds a variant of the suite `maniskill5`: `five(image_size=64, control="delta_eef")`."""

    def build(name="maniskill5", **changes):
        suite = load_suite(name)
        options = {key: changes.pop(key) for key in list(changes) if key in suite.options}
        return dataclasses.replace(suite, options=suite.options | options, **changes)

    return build
