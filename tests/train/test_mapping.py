"""Mapping files and the vectors they make; tests/train/test_mapped.py has images, damaged datasets and the hub."""

import copy
import io

import numpy as np
import pyarrow as pa
import pytest
import yaml
from PIL import Image

from envs.spec import InputError
from model.actions import EMBODIMENTS, check_action
from train.mapping.mapping import MAPPINGS_DIR, load_mapping
from train.mapping.read import read_mapped
from train.mapping.yaml import read_yaml

IMAGE = {"dtype": "image", "shape": [40, 40, 3], "names": ["height", "width", "channels"]}
N = 7  # frames of the datasets here

ALOHA = {
    "embodiment": "aloha",
    "convention": {"frame": "none", "rotation": "none", "gripper": "0_closed_1_open", "control_mode": "position"},
    "cameras": {"top": "observation.images.top"},
    "image_size": 32,
    "state": [{"column": "observation.state"}],
    "action": [{"column": "action"}],
}
DELTA = ALOHA | {
    "embodiment": "delta_eef",
    "convention": {
        "frame": "base",
        "rotation": "rotation_vector",
        "gripper": "0_closed_1_open",
        "control_mode": "delta",
    },
    "action": [
        {"column": "action", "entries": "0:3", "scale": 0.05},
        {"column": "action", "entries": [3, 4, 5], "scale": [0.5, 0.25, 0.5]},
        {"column": "action", "entries": 6, "scale": -0.5, "offset": 0.5},
        {"constant": 0.0},
    ],
}
EEF = ALOHA | {
    "embodiment": "absolute_eef",
    "convention": {
        "frame": "base",
        "rotation": "quaternion_xyzw",
        "gripper": "0_closed_1_open",
        "control_mode": "position",
    },
    "action": [
        {"column": "action", "entries": ["x", "y", "z"]},
        {"column": "action", "entries": "3:7", "rotation": "quaternion_wxyz"},
        {"column": "action", "entries": "grip", "scale": 12.5, "invert": True},
    ],
}
NAMES = {"action": {"axes": ["x", "y", "z", "a", "b", "c", "d", "grip"]}}


def png(colour):
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 40, 3), colour, np.uint8)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def top(cells=None):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return {"observation.images.top": (IMAGE, pa.array(cells or [png(20 * k) for k in range(N)], kind))}


@pytest.fixture
def mapping(tmp_path):
    """Writes and loads a mapping; keywords replace its entries, None removes one."""

    def build(base, **changes):
        data = {name: value for name, value in (copy.deepcopy(base) | changes).items() if value is not None}
        (tmp_path / "mapping.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
        return load_mapping(tmp_path / "mapping.yaml")

    return build


@pytest.fixture
def dataset(foreign):
    """A dataset with actions of so many numbers in 0 .. 1, and a state of 14."""

    def build(width=14, action=None, **more):
        rng = np.random.default_rng(0)
        vectors = {
            "observation.state": rng.uniform(size=(N, 14)),
            "action": rng.uniform(size=(N, width)) if action is None else action,
        }
        return foreign(vectors, **({"others": top()} | more))

    return build


def test_fourteen_joints_become_an_aloha(mapping, dataset):
    action = np.arange(N * 14).reshape(N, 14) / 100
    demos = read_mapped(mapping(ALOHA), dataset(action=action))
    np.testing.assert_array_equal(demos.actions, action.astype(np.float32))
    encoded = EMBODIMENTS["aloha"].encode(demos.actions)[0]
    # Left arm, left gripper, right arm, right gripper; the seventh joints stay empty.
    np.testing.assert_allclose(encoded[16:24], [0, 0.01, 0.02, 0.03, 0.04, 0.05, 0, 0.06], atol=1e-7)
    np.testing.assert_allclose(encoded[24:32], [0.07, 0.08, 0.09, 0.10, 0.11, 0.12, 0, 0.13], atol=1e-7)
    assert demos.proprioception_names[:2] == ("observation.state.0", "observation.state.1")
    assert demos.cameras == ("top",) and demos.images.shape == (N, 1, 32, 32, 3) and demos.views is None
    assert [int(image.mean()) for image in demos.images] == [20 * k for k in range(N)]
    assert demos.episode_index.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert demos.frame_index.tolist() == demos.keyframe_index.tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert demos.instructions == demos.task == ["put it down"] * N


def test_displacements_are_scaled_and_the_gripper_turned(mapping, dataset):
    action = np.zeros((N, 7))
    action[1] = [1, -1, 0.5, 1, 1, -1, 1]  # closes
    action[2] = [0, 0, 0, 0, 0, 0, -1]  # opens
    built = mapping(DELTA)
    demos = read_mapped(built, dataset(action=action))
    np.testing.assert_allclose(demos.actions[1], [0.05, -0.05, 0.025, 0.5, 0.25, -0.5, 0, 0], atol=1e-7)
    np.testing.assert_allclose(demos.actions[2], [0, 0, 0, 0, 0, 0, 1, 0])
    assert built.convention.rotation == "rotation_vector" and built.embodiment.id == 4


HALF = np.sqrt(0.5)


@pytest.mark.parametrize(
    ("written", "numbers", "xyzw"),
    [
        ("quaternion_wxyz", [HALF, 0, 0, HALF], [0, 0, HALF, HALF]),
        ("quaternion_xyzw", [0, 0, -2 * HALF, -2 * HALF], [0, 0, HALF, HALF]),  # not of norm 1, w < 0
        ("rotation_vector", [0, np.pi / 2, 0], [0, HALF, 0, HALF]),
        # Roll, then yaw about the world's z: z-quarter * x-quarter; about the body's own axes: x-quarter * z-quarter.
        ("euler_xyz", [np.pi / 2, 0, np.pi / 2], [0.5, 0.5, 0.5, 0.5]),
        ("euler_xyz_intrinsic", [np.pi / 2, 0, np.pi / 2], [0.5, -0.5, 0.5, 0.5]),
    ],
)
def test_rotations_become_quaternions(mapping, dataset, written, numbers, xyzw):
    action = np.zeros((N, 8))
    action[:, :3] = [0.1, 0.2, 0.3]
    action[:, 3 : 3 + len(numbers)] = numbers
    action[:, 7] = 0.02  # m, of 0.08 when closed
    pieces = copy.deepcopy(EEF["action"])
    pieces[1] |= {"entries": f"3:{3 + len(numbers)}", "rotation": written}
    state = [{"column": "action", "entries": f"3:{3 + len(numbers)}", "rotation": written}]
    state.append({"column": "action", "entries": "0:2", "names": ["eef_x", "eef_y"]})
    demos = read_mapped(mapping(EEF, action=pieces, state=state), dataset(action=action, names=NAMES))
    np.testing.assert_allclose(demos.actions[4], [0.1, 0.2, 0.3, *xyzw, 0.75], atol=1e-6)
    np.testing.assert_allclose(demos.proprioception[4], [*xyzw, 0.1, 0.2], atol=1e-6)
    assert demos.proprioception_names == ("action.qx", "action.qy", "action.qz", "action.qw", "eef_x", "eef_y")
    check_action(EMBODIMENTS["absolute_eef"].encode(demos.actions[4]), EMBODIMENTS["absolute_eef"])


def test_displaced_rotations_follow_the_convention(mapping, dataset):
    action = np.zeros((N, 8))
    action[:, 3:7] = [HALF, 0, 0, HALF]
    pieces = [
        {"column": "action", "entries": "0:3"},
        {"column": "action", "entries": "3:7", "rotation": "quaternion_wxyz"},
        {"constant": [1.0, 0.0]},
    ]
    demos = read_mapped(mapping(DELTA, action=pieces), dataset(action=action))
    np.testing.assert_allclose(demos.actions[0], [0, 0, 0, 0, 0, np.pi / 2, 1, 0], atol=1e-6)


def test_stride_and_episodes_choose_frames(mapping, dataset):
    action = np.arange(N * 14).reshape(N, 14) / 100
    root = dataset(action=action, sentences=("lift", "turn"))
    chosen = mapping(ALOHA, stride=2, episodes="1:2", validation_episodes="0:1")
    demos, watched = read_mapped(chosen, root), read_mapped(chosen, root, held_out=True)
    np.testing.assert_array_equal(demos.actions[:, 0], action[[3, 5], 0].astype(np.float32))
    assert demos.frame_index.tolist() == [0, 1] and demos.instructions == ["turn", "turn"]
    assert [int(image.mean()) for image in demos.images] == [60, 100]
    assert watched.episode_index.tolist() == [0, 0] and watched.instructions == ["lift", "lift"]


def test_instructions_come_from_a_column_or_a_sentence(mapping, dataset):
    texts = [f"step {k}" for k in range(N)]
    others = top() | {"say": ({"dtype": "string", "shape": [1], "names": None}, pa.array(texts))}
    root = dataset(others=others)
    assert read_mapped(mapping(ALOHA, instruction={"column": "say"}), root).instructions == texts
    assert read_mapped(mapping(ALOHA, instruction={"sentence": "go"}), root).instructions == ["go"] * N


def test_yaml_reads_ranges_and_powers_of_ten(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("{a: 7:13, b: 1e-3, c: -.5, d: 12, e: [0, 1.0], f: {x: 10:20}, g: 0_closed_1_open}")
    assert read_yaml(path) == {
        "a": "7:13", "b": 0.001, "c": -0.5, "d": 12, "e": [0, 1.0], "f": {"x": "10:20"}, "g": "0_closed_1_open",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(path.stem for path in MAPPINGS_DIR.glob("*.yaml")))
def test_shipped_mappings_fit_their_embodiment(name, foreign):
    shipped = load_mapping(name)
    rng = np.random.default_rng(0)
    widths = {"aloha": 14, "libero": 7}
    vectors = {
        "observation.state": rng.uniform(size=(2 * 430, 14)),
        "action": rng.uniform(size=(2 * 430, widths[name])),
    }
    vectors["observation.state"] = vectors["observation.state"][:, : {"aloha": 14, "libero": 8}[name]]
    cells = pa.array([png(1)] * 860, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    root = foreign(vectors, lengths=(2,) * 430, others={column: (IMAGE, cells) for column in shipped.cameras.values()})
    demos = read_mapped(shipped, root, held_out=True)
    assert demos.actions.shape[1] == shipped.embodiment.native_dim
    assert len(demos.proprioception_names) == demos.proprioception.shape[1]


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (ALOHA, {"camera": {}}, r"unknown entry 'camera' in the file\. Did you mean 'cameras'"),
        (ALOHA, {"action": None}, r"entry 'action' is missing"),
        (ALOHA, {"embodiment": "alhoa"}, r"unknown embodiment 'alhoa'\. Did you mean 'aloha'.*delta_eef"),
        (ALOHA, {"convention": {"frame": "none"}}, r"'rotation' is missing in convention"),
        (ALOHA, {"convention": ALOHA["convention"] | {"frame": "wrold"}}, r"frame 'wrold'.*aloha.*one of: none"),
        (EEF, {"convention": EEF["convention"] | {"rotation": "euler_xyz"}}, r"rotation 'euler_xyz'.*quaternion_xyzw"),
        (DELTA, {"convention": DELTA["convention"] | {"control_mode": "position"}}, r"control_mode.*delta"),
        (ALOHA, {"convention": ALOHA["convention"] | {"gripper": "opne"}}, r"gripper 'opne'.*0_closed_1_open"),
        (ALOHA, {"embodiment": "dexterous", "convention": EEF["convention"]}, r"no gripper.*gripper: none"),
        (ALOHA, {"cameras": {}}, r"at least one view"),
        (ALOHA, {"cameras": {"top": 3}}, r"at least one view"),
        (ALOHA, {"image_size": 100}, r"multiple of 32"),
        (ALOHA, {"stride": 0}, r"stride must be a whole number above 0"),
        (DELTA, {"stride": 2}, r"stride 2 would lose the actions of delta control"),
        (ALOHA, {"episodes": "9:3"}, r"episodes must be a range"),
        (ALOHA, {"validation_episodes": "0:1"}, r"needs `episodes`"),
        (ALOHA, {"episodes": "0:5", "validation_episodes": "4:6"}, r"shares no episode"),
        (ALOHA, {"instruction": "task"}, r"instruction must be `tasks`"),
        (ALOHA, {"instruction": {"sentence": " "}}, r"instruction must be `tasks`"),
        (ALOHA, {"state": []}, r"state must be a list of pieces"),
        (ALOHA, {"state": ["action"]}, r"state, piece 1 must hold entries"),
        (ALOHA, {"action": [{"colum": "action"}]}, r"unknown entry 'colum' in action, piece 1\. Did you mean 'column'"),
        (ALOHA, {"action": [{"column": "action", "constant": 1}]}, r"a column or a constant"),
        (ALOHA, {"action": [{"constant": 1, "scale": 2}]}, r"constant, which takes no scale"),
        (ALOHA, {"action": [{"column": "action", "names": ["a"]}]}, r"actions take no names"),
        (ALOHA, {"state": [{"column": "action", "names": "a"}]}, r"names must be a list"),
        (
            ALOHA,
            {"action": [{"column": "action", "rotation": "euler"}]},
            r"rotation 'euler'\. Did you mean 'euler_xyz'",
        ),
        (ALOHA, {"action": [{"column": "action", "invert": 1}]}, r"invert must be true or false"),
        (ALOHA, {"action": [{"column": "action", "scale": "1/2"}]}, r"scale must be a number"),
        (ALOHA, {"action": [{"column": "action", "entries": 1.5}]}, r"entries must be 0:3, an index"),
    ],
)
def test_mistakes_in_the_file_are_named(mapping, base, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        mapping(base, **changes)
    assert "mapping.yaml" in str(caught.value)


@pytest.mark.parametrize("text", ["a: [1", "a: 1\na: 2", "- 1"])
def test_files_that_are_no_mapping_are_refused(tmp_path, text):
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(InputError, match=r"not valid YAML.*comes twice|not valid YAML|must hold entries"):
        load_mapping(tmp_path / "m.yaml")


def test_unknown_file_names_the_shipped_ones():
    with pytest.raises(InputError, match=r"Did you mean 'aloha'\? Examples: aloha, libero"):
        load_mapping("alohaa")


PART = {"column": "action", "entries": "0:3"}


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (ALOHA, {"action": [{"column": "actoin"}]}, r"no column 'actoin'\. Did you mean 'action'.*It has: observation"),
        (ALOHA, {"cameras": {"a": "left", "b": "right"}}, r"no column 'left', 'right'\. It has"),
        (ALOHA, {"cameras": {"top": "action"}}, r"'action' holds float32, not images\. Choose one of: observation\.i"),
        (ALOHA, {"state": [{"column": "observation.images.top"}]}, r"holds image, not numbers.*: observation\.state"),
        (ALOHA, {"instruction": {"column": "action"}}, r"holds float32, not text\. Columns with text: none"),
        (ALOHA, {"action": [PART]}, r"have 3 = 3 numbers, embodiment aloha takes 14.*constant"),
        (ALOHA, {"action": [PART | {"entries": [0, 14]}]}, r"14 entries, 0 to 13; there is no 14"),
        (ALOHA, {"action": [PART | {"entries": "x"}]}, r"no entry 'x'.*no names; use indices"),
        (ALOHA, {"action": [PART | {"scale": [1, 2]}]}, r"3 entries but 2 numbers of scale"),
        (ALOHA, {"action": [PART | {"rotation": "euler_xyz"}]}, r"aloha has none"),
        (ALOHA, {"state": [PART | {"names": ["a", "b"]}]}, r"3 numbers but has 2 names"),
        (ALOHA, {"state": [PART, PART]}, r"called 'action\.0'"),
        (ALOHA, {"action": [{"column": "action", "scale": 100}]}, r"a gripper, takes values from.*0_closed_1_open"),
        (ALOHA, {"convention": ALOHA["convention"] | {"control_mode": "keyframe"}}, r"keyframe_index.*position"),
        (ALOHA, {"episodes": "0:3"}, r"asks for episode 2; .* has 2 episodes, 0 to 1"),
        (EEF, {"action": [{"column": "action", "entries": "0:8"}]}, r"covers the rotation.*quaternion_wxyz"),
        (
            EEF,
            {
                "action": [
                    {"column": "action", "entries": "3:7", "rotation": "quaternion_wxyz"},
                    {"constant": [0.0] * 4},
                ]
            },
            r"rotation at 0:4, embodiment absolute_eef has its rotation at 3:7",
        ),
        (EEF, {"action": [PART | {"rotation": "quaternion_wxyz"}]}, r"takes 4 numbers, the piece has 3"),
        (EEF, {"action": [{"constant": [0, 0, 0, 1, 1, 0, 0, 0]}]}, r"no unit quaternion"),
        (
            EEF,
            {"action": [{"column": "zero", "rotation": "quaternion_xyzw"}]},
            r"a quaternion is zero",
        ),
        (ALOHA, {"state": [{"column": "gap"}]}, r"column 'gap' holds NaN or infinity in frame 5"),
    ],
)
def test_datasets_that_do_not_fit_are_refused(mapping, dataset, foreign, base, changes, message):
    rng = np.random.default_rng(0)
    gap = np.zeros((N, 2))
    gap[5, 1] = np.nan
    vectors = {name: rng.uniform(size=(N, 14)) for name in ("observation.state", "action")}
    root = foreign(vectors | {"zero": np.zeros((N, 4)), "gap": gap}, others=top())
    with pytest.raises(InputError, match=message) as caught:
        read_mapped(mapping(base, **changes), root)
    assert "mapping.yaml" in str(caught.value)


def test_gripper_of_the_other_polarity_is_noticed(mapping, dataset):
    action = np.zeros((N, 7))
    action[2:, 6] = -1
    unscaled = [{"column": "action"}, {"constant": 0.0}]
    with pytest.raises(InputError, match=r"entry 6 of the action, a gripper, takes values from -1 to 0"):
        read_mapped(mapping(DELTA, action=unscaled), dataset(action=action))
    action[:, 6] /= 4  # overshoots, as hands do
    assert read_mapped(mapping(DELTA, action=unscaled), dataset(action=action)).actions[3, 6] == -0.25


def test_unknown_entry_names_the_nearest(mapping, dataset):
    root = dataset(width=8, names=NAMES)
    with pytest.raises(InputError, match=r"no entry 'gripp'\. Did you mean 'grip'\? Its entries: x, y"):
        read_mapped(mapping(EEF, action=[{"column": "action", "entries": "gripp"}]), root)


def test_watching_needs_episodes_set_aside(mapping, dataset):
    with pytest.raises(InputError, match="validation_episodes"):
        read_mapped(mapping(ALOHA), dataset(), held_out=True)
