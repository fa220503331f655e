"""All tasks in processes of their own: the same first observation everywhere, quick resets, little memory."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs.suite import load_suite

pytestmark = pytest.mark.sim

# Prints, for each task, the hash of two first observations and the CPU seconds of the resets after the first; then the
# largest memory the process had, in bytes. The order of tasks and episodes is the argument's.
PROGRAM = """
import hashlib, json, sys, time
from envs.suite import load_suite

suite, order = load_suite("rlbench18"), int(sys.argv[1])
found, seconds = {}, []
for task in list(suite.tasks)[::order]:
    env = suite.make(task)
    first, *rest = suite.episodes(task, "validation", 3)
    env.reset(first)
    for episode in rest[::order]:
        began = time.process_time()
        observation = env.reset(episode)
        seconds.append(time.process_time() - began)
        digest = hashlib.sha256(observation["proprioception"].tobytes() + observation["instruction"].encode())
        for camera in env.spec.cameras:
            digest.update(observation["images"][camera.name].tobytes())
        found[episode.id] = digest.hexdigest()
    env.close()
# Not getrusage: there a child inherits the greatest memory of the process that it was forked from.
(peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
memory = 1024 * int(peak.split()[1])
print(json.dumps({"found": found, "seconds": seconds, "memory": memory}))
"""


@pytest.fixture(scope="module")
def reports():
    """What two processes report that go through the tasks in opposite order, side by side."""
    running = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, order], stdout=subprocess.PIPE, text=True)
        for order in ("1", "-1")
    ]
    return [json.loads(process.communicate(timeout=600)[0]) for process in running]


def test_first_observations_are_equal_to_the_last_bit(reports):
    one, other = (report["found"] for report in reports)
    assert len(one) == 2 * len(load_suite("rlbench18").tasks) and one == other
    assert len(set(one.values())) == len(one)


def test_a_reset_takes_less_than_a_third_of_a_second(reports):
    seconds = [s for report in reports for s in report["seconds"]]
    assert sum(seconds) / len(seconds) < 0.3


def test_a_worker_needs_less_than_one_and_a_half_gibibytes(reports):
    assert all(report["memory"] < 1.5 * 2**30 for report in reports)
