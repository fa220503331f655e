"""Images and videos of mapped datasets, damaged datasets, and the hub."""

import io
import json
import sys
import types

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from envs.spec import InputError
from train.lerobot import hub
from train.lerobot import progress as read_progress
from train.lerobot.dataset import Features, Frame
from train.lerobot.hub import locate
from train.lerobot.memory import available_memory
from train.lerobot.write import encode_episode, write_dataset
from train.mapping import read as mapped
from train.mapping.columns import names_rgb
from train.mapping.mapping import load_mapping
from train.mapping.read import read_mapped

SIZE = 32
LENGTHS = (3, 4, 2)
N = sum(LENGTHS)
COLOURS = [[(10 * k, 250 - 20 * k, 40 + 15 * k) for k in range(9)][a:b] for a, b in ((0, 3), (3, 7), (7, 9))]
FLAT = [colour for episode in COLOURS for colour in episode]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
MAPPING = {
    "embodiment": "joints",
    "convention": {"frame": "none", "rotation": "none", "gripper": "0_closed_1_open", "control_mode": "position"},
    "cameras": {"front": "observation.images.front"},
    "image_size": SIZE,
    "state": [{"column": "observation.state"}],
    "action": [{"column": "action"}],
}


@pytest.fixture
def mapping(tmp_path):
    def build(**changes):
        (tmp_path / "mapping.yaml").write_text(yaml.safe_dump(MAPPING | changes))
        return load_mapping(tmp_path / "mapping.yaml")

    return build


@pytest.fixture
def dataset(foreign):
    def build(**more):
        vectors = {"observation.state": np.eye(N, 3), "action": np.arange(N * 8).reshape(N, 8) / 100}
        return foreign(vectors, lengths=LENGTHS, **({"videos": {"observation.images.front": COLOURS}} | more))

    return build


def encoded(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return {"bytes": buffer.getvalue(), "path": None}


def images(cells, shape=(48, 64, 3)):
    return ({"dtype": "image", "shape": list(shape), "names": None}, pa.array(cells, STRUCT))


def plain(colour, kind="PNG"):
    return encoded(Image.new("RGB", (64, 48), colour), kind)


def test_videos_give_every_frame_its_picture(mapping, dataset):
    demos = read_mapped(mapping(), dataset())
    assert demos.images.shape == (N, 1, SIZE, SIZE, 3) and demos.views is None
    for row, colour in enumerate(FLAT):
        assert np.abs(demos.images[row, 0].astype(int) - colour).max() <= 4, row


def test_videos_are_read_from_the_middle(mapping, dataset):
    demos = read_mapped(mapping(episodes="1:3", stride=2), dataset())
    expected = [FLAT[row] for row in (3, 5, 7)]
    assert np.abs(demos.images.mean((1, 2, 3)) - expected).max() <= 4
    np.testing.assert_array_equal(demos.actions[:, 0], np.float32([0.24, 0.40, 0.56]))


def test_pictures_keep_their_orientation_and_extent(mapping, dataset):
    array = np.zeros((48, 64, 3), np.uint8)
    array[:24, 32:] = [200, 100, 0]
    cells = [encoded(Image.fromarray(array), kind) for kind in ("PNG", "JPEG", "PNG") * 3]
    demos = read_mapped(mapping(), dataset(videos=None, others={"observation.images.front": images(cells)}))
    for picture in demos.images[:, 0].astype(int):
        assert np.abs(picture[2:14, 18:30] - [200, 100, 0]).max() <= 8
        assert picture[18:].max() <= 8 and picture[:, :14].max() <= 8


def test_same_size_pictures_are_lossless(mapping, dataset):
    arrays = np.random.default_rng(0).integers(256, size=(N, SIZE, SIZE, 3), dtype=np.uint8)
    cells = images([encoded(Image.fromarray(array)) for array in arrays], arrays.shape[1:])
    demos = read_mapped(mapping(), dataset(videos=None, others={"observation.images.front": cells}))
    np.testing.assert_array_equal(demos.images[:, 0], arrays)


def test_views_that_an_episode_lacks_are_black_and_marked(mapping, dataset):
    wrist = [None if row in (3, 4, 5, 6) else plain((0, 0, 255)) for row in range(N)]
    wrist[8] = {"bytes": None, "path": None}
    root = dataset(
        videos={"observation.images.front": [COLOURS[0], COLOURS[1], None]},
        others={"observation.images.wrist": images(wrist)},
    )
    cameras = {"front": "observation.images.front", "hand": "observation.images.wrist"}
    demos = read_mapped(mapping(cameras=cameras), root)
    assert demos.views.tolist() == [[True, True]] * 3 + [[True, False]] * 4 + [[False, True], [False, False]]
    assert (demos.images[~demos.views] == 0).all() and (demos.images[:3, 1] == [0, 0, 255]).all()
    with pytest.raises(InputError, match=r"camera 'front': no episode has images"):
        read_mapped(mapping(cameras=cameras, episodes="2:3"), root)


def test_our_own_demonstrations_can_be_mapped(tmp_path, mapping):
    features = Features(("front",), SIZE, SIZE, ("a",), ("x", "y", "z", "qx", "qy", "qz", "qw", "g"), 1, "panda")
    rng = np.random.default_rng(0)
    frames = [
        Frame(
            {"front": rng.integers(256, size=(SIZE, SIZE, 3), dtype=np.uint8)},
            np.float32([k]),
            np.float32([k, 0, 1, 0, 0, 0, 1, 1]),
            k // 2,
            "open it",
        )
        for k in range(4)
    ]
    write_dataset(tmp_path / "ours", features, [encode_episode(features, "open_drawer", 0, 5, frames)])
    convention = {
        "frame": "world",
        "rotation": "quaternion_xyzw",
        "gripper": "0_closed_1_open",
        "control_mode": "keyframe",
    }
    rotation = {"column": "action", "entries": ["qx", "qy", "qz", "qw"], "rotation": "quaternion_xyzw"}
    pieces = [{"column": "action", "entries": "0:3"}, rotation, {"column": "action", "entries": "g"}]
    keyframes = mapping(embodiment="absolute_eef", convention=convention, action=pieces)
    demos = read_mapped(keyframes, tmp_path / "ours")
    np.testing.assert_array_equal(demos.actions, [frame.action for frame in frames])
    np.testing.assert_array_equal(demos.images[:, 0], [frame.images["front"] for frame in frames])
    assert demos.keyframe_index.tolist() == [0, 0, 1, 1] and demos.frame_index.tolist() == [0, 1, 2, 3]
    assert demos.task == ["open_drawer"] * 4 and demos.instructions == ["open it"] * 4


@pytest.mark.parametrize(
    ("column", "feature", "reason"),
    [
        ("observation.images.front_depth", {}, "depth, segmentation or mask"),
        ("observation.images.mask", {}, "depth, segmentation or mask"),
        ("observation.images.a", {"info": {"video.is_depth_map": True}}, "depth, segmentation or mask"),
        ("observation.images.a", {"shape": [48, 64, 1]}, "not three colour channels"),
    ],
)
def test_cameras_must_be_colour(mapping, dataset, column, feature, reason):
    declared, cells = images([plain((1, 2, 3))] * N)
    root = dataset(others={column: (declared | feature, cells)})
    with pytest.raises(InputError, match=rf"camera 'front'.*{reason}.*Choose one of: observation\.images\.front\."):
        read_mapped(mapping(cameras={"front": column}), root)


def test_all_cameras_are_the_rgb_ones(mapping, dataset):
    """Depth, segmentation and masks stay out, whatever they are stored as."""
    seen = [plain((k, 2 * k, 3 * k)) for k in range(N)]
    others = {
        f"observation.images.{name}": images(seen)
        for name in ("wrist.rgb", "wrist.depth", "front_segmentation", "mask", "scene_pcd")
    }
    root = dataset(others=others)
    demos = read_mapped(mapping(cameras="all"), root)
    assert sorted(demos.cameras) == ["front", "wrist.rgb"]
    view = demos.cameras.index("wrist.rgb")
    np.testing.assert_array_equal(demos.images[:, view, 0, 0], [(k, 2 * k, 3 * k) for k in range(N)])


def test_no_camera_at_all(mapping, dataset):
    root = dataset(videos=None, others={"observation.images.depth": images([plain((1, 2, 3))] * N)})
    with pytest.raises(InputError, match=r"cameras: all, but .* has no colour images"):
        read_mapped(mapping(cameras="all"), root)


@pytest.mark.parametrize("name", ["front", "observation.images.left_shoulder", "rgb", "cam_high", "egocentric"])
def test_names_of_rgb_columns(name):
    assert names_rgb(name)


@pytest.mark.parametrize(
    "name", ["depth", "frontDepth", "seg", "instance_segmentation", "gripper_mask", "cam.xyz", "pointCloud", "cam_ir"]
)
def test_names_of_other_columns(name):
    assert not names_rgb(name)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (encoded(Image.new("I;16", (64, 48))), "mode I;16, not RGB"),
        ({"bytes": b"no image", "path": None}, "is damaged"),
        ({"bytes": None, "path": "images/0.png"}, "names image files"),
    ],
)
def test_unusable_pictures_are_named(mapping, dataset, cell, message):
    others = {"observation.images.front": images([plain((0, 0, 0))] * (N - 1) + [cell])}
    with pytest.raises(InputError, match=rf"'observation\.images\.front'.*{message}"):
        read_mapped(mapping(), dataset(videos=None, others=others))


def test_lost_short_and_broken_videos_are_named(mapping, dataset):
    root = dataset()
    file = root / "videos/observation.images.front/chunk-000/file-001.mp4"
    whole = file.read_bytes()
    file.unlink()
    with pytest.raises(InputError, match=r"no video .*file-001\.mp4.*hf download"):
        read_mapped(mapping(), root)
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"file-001\.mp4 cannot be used.*hf download"):
        read_mapped(mapping(), root)
    file.write_bytes(whole)
    table = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    table[2]["videos/observation.images.front/from_timestamp"] = 0.1  # one frame too late for two frames
    pq.write_table(pa.Table.from_pylist(table), root / "meta/episodes/chunk-000/file-000.parquet")
    with pytest.raises(InputError, match=r"no frame at 0\.200 s"):
        read_mapped(mapping(), root)


def rewrite_info(root, **changes):
    path = root / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_damaged_datasets_name_the_remedy(mapping, dataset):
    root = dataset()
    rewrite_info(root, codebase_version="v2.1")
    with pytest.raises(InputError, match=r"'v2\.1', not v3\.0.*convert_dataset_v21_to_v30"):
        read_mapped(mapping(), root)
    rewrite_info(root, codebase_version="v3.0", total_frames=99)
    with pytest.raises(InputError, match=r"9 frames where meta/info\.json promises 99.*hf download"):
        read_mapped(mapping(), root)
    rewrite_info(root, total_frames=N)
    (root / "meta/tasks.parquet").unlink()
    with pytest.raises(InputError, match=r"tasks\.parquet is missing"):
        read_mapped(mapping(), root)
    (root / "data/chunk-000/file-001.parquet").write_bytes(b"torn")
    with pytest.raises(InputError, match="data file is damaged"):
        read_mapped(mapping(), root)
    for path in (root / "data/chunk-000").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="has 0 frames"):
        read_mapped(mapping(), root)
    (root / "meta/info.json").write_text("{}")
    with pytest.raises(InputError, match=r"info\.json is damaged \(KeyError"):
        read_mapped(mapping(), root)
    (root / "meta/info.json").unlink()
    with pytest.raises(InputError, match=r"info\.json is missing"):
        read_mapped(mapping(), root)


def test_contradicting_data_files_are_refused(mapping, dataset):
    root = dataset()
    features = json.loads((root / "meta/info.json").read_text())["features"]
    rewrite_info(root, features=features | {"action": features["action"] | {"shape": [7]}})
    with pytest.raises(InputError, match=r"'action' does not hold 7 numbers in every frame"):
        read_mapped(mapping(), root)
    rewrite_info(root, features=features | {"extra": features["action"]})
    with pytest.raises(InputError, match=r"has no column 'extra', which meta/info\.json promises"):
        read_mapped(mapping(action=[{"column": "extra"}]), root)
    rewrite_info(root, features={name: feature for name, feature in features.items() if name != "task_index"})
    with pytest.raises(InputError, match=r"lacks the columns task_index of every LeRobot dataset"):
        read_mapped(mapping(), root)
    rewrite_info(root, features=features)
    path = root / "data/chunk-000/file-001.parquet"
    table = pq.read_table(path)
    order = table.column_names.index("frame_index")
    pq.write_table(table.set_column(order, "frame_index", pa.array([1, 0, 2, 3, 0, 1])), path)
    with pytest.raises(InputError, match="episode 1 are missing or out of order"):
        read_mapped(mapping(), root)


def test_frames_without_instruction_are_refused(mapping, dataset):
    with pytest.raises(InputError, match=r"frame 3 of .* has no instruction.*sentence"):
        read_mapped(mapping(), dataset(sentences=("go", " ")))


def test_images_that_do_not_fit_into_memory_are_refused_before_decoding(mapping, dataset, monkeypatch):
    root = dataset()
    (root / "videos/observation.images.front/chunk-000/file-000.mp4").unlink()  # would be noticed when decoded
    needed = N * SIZE * SIZE * 3
    monkeypatch.setattr(mapped, "available_memory", lambda: needed)
    with pytest.raises(InputError, match=r"9 frames of 1 views of 32 x 32 pixels.*image_size smaller"):
        read_mapped(mapping(), root)
    monkeypatch.setattr(mapped, "available_memory", lambda: needed * 2)
    with pytest.raises(InputError, match="no video"):
        read_mapped(mapping(), root)


def test_available_memory_is_below_the_machines():
    free = available_memory()
    assert free is None or 2**20 < free < 2**50


def test_long_reads_show_progress(mapping, dataset, monkeypatch, capsys):
    monkeypatch.setattr(read_progress, "_LINE_EVERY_S", -1.0)
    read_mapped(mapping(), dataset())
    assert "reading foreign: 9 of 9 images" in capsys.readouterr().out


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """An empty Hugging Face home, and no downloader."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in ("HF_LEROBOT_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    return tmp_path / "hf"


@pytest.mark.parametrize(
    "place", ["lerobot/us/arm", "hub/datasets--us--arm/snapshots/abc", "lerobot/hub/datasets--us--arm/snapshots/abc"]
)
def test_cached_datasets_are_found_by_name(mapping, dataset, caches, place):
    (caches / place).parent.mkdir(parents=True)
    dataset().rename(caches / place)
    assert locate("us/arm") == caches / place
    assert len(read_mapped(mapping(dataset="us/arm")).actions) == N


def test_cached_revision_is_the_main_one_and_has_data(dataset, caches):
    entry = caches / "hub/datasets--us--arm"
    root = dataset()
    for revision in ("a", "b"):
        (entry / "snapshots" / revision / "meta").mkdir(parents=True)
        (entry / "snapshots" / revision / "meta/info.json").write_text("{}")
    with pytest.raises(InputError, match="no copy of it"):
        locate("us/arm")
    for revision in ("a", "b"):
        (entry / "snapshots" / revision / "data").symlink_to(root / "data")
    (entry / "refs").mkdir()
    (entry / "refs/main").write_text("b")
    assert locate("us/arm").name == "b"


def test_names_without_package_or_network_name_the_command(caches, monkeypatch):
    command = r"hf download us/arm --repo-type dataset --local-dir data/arm"
    with pytest.raises(InputError, match=rf"huggingface_hub is not installed.*{command}"):
        locate("us/arm")

    def offline(name, repo_type):
        raise ConnectionError(f"{repo_type} {name}: no route\nmore")

    package = types.SimpleNamespace(snapshot_download=offline)
    monkeypatch.setattr(hub, "import_module", lambda name: package)
    with pytest.raises(InputError, match=rf"ConnectionError: dataset us/arm: no route\).*{command}"):
        locate("us/arm")


def test_names_are_downloaded(mapping, dataset, caches, monkeypatch):
    root = dataset()
    package = types.SimpleNamespace(snapshot_download=lambda name, repo_type: str(root))
    monkeypatch.setattr(hub, "import_module", lambda name: package)
    assert len(read_mapped(mapping(), "us/arm").actions) == N


def test_dataset_must_be_named(mapping, caches):
    with pytest.raises(InputError, match=r"names no dataset\. Add `dataset:"):
        read_mapped(mapping())
    for name in ("nowhere", "./a/b", "a/b/c", "../x"):
        with pytest.raises(InputError, match=r"there is no folder .*hub name user/dataset"):
            read_mapped(mapping(), name)
