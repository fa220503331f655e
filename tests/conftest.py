import dataclasses
import os

# Before numpy and torch are imported anywhere: the machines that run the tests have few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import yaml

from envs.suite import SUITES_DIR, load_suite


@pytest.fixture
def mock_suite():
    """Builds a variant of the mock suite: `mock_suite(max_steps=3, options={...})`."""

    def build(**changes):
        return dataclasses.replace(load_suite("mock"), **changes)

    return build


@pytest.fixture
def mock_yaml(tmp_path):
    """Writes a variant of the mock suite and returns the path of its file."""

    def write(**changes):
        data = yaml.safe_load((SUITES_DIR / "mock.yaml").read_text()) | changes
        path = tmp_path / "suite.yaml"
        path.write_text(yaml.safe_dump(data, sort_keys=False))
        return str(path)

    return write
