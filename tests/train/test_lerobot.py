import json
import shutil

import numpy as np
import pytest

pytest.importorskip("pyarrow")

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from envs.spec import InputError
from train.lerobot import write as lerobot_write
from train.lerobot.dataset import Features, Frame, read_dataset
from train.lerobot.write import encode_episode, write_dataset

FEATURES = Features(("front", "wrist"), 8, 6, ("eef_x", "eef_y", "gripper_open"), ("x", "y", "z", "g"), 1, "panda")


def make_frames(seed, length, sentence):
    rng = np.random.default_rng(seed)
    return [
        Frame(
            images={name: rng.integers(256, size=(8, 6, 3), dtype=np.uint8) for name in FEATURES.cameras},
            proprioception=rng.normal(size=3).astype(np.float32),
            action=rng.normal(size=4).astype(np.float32),
            keyframe_index=step // 2,
            instruction=sentence,
        )
        for step in range(length)
    ]


EPISODES = [
    ("open_drawer", 0, 7, make_frames(0, 3, "open the top drawer")),
    ("turn_tap", 1, 9, make_frames(1, 4, "turn left tap")),
    ("open_drawer", 0, 8, make_frames(2, 2, "open the top drawer")),
]
FRAMES = [frame for *_, frames in EPISODES for frame in frames]


def write(root):
    return write_dataset(root, FEATURES, [encode_episode(FEATURES, *episode) for episode in EPISODES])


@pytest.fixture
def root(tmp_path):
    assert write(tmp_path / "demos") == (3, 9)
    return tmp_path / "demos"


def test_round_trip_is_lossless(root):
    data = read_dataset(root)
    assert data.cameras == FEATURES.cameras
    assert data.proprioception_names == FEATURES.proprioception
    for row, frame in enumerate(FRAMES):
        for view, camera in enumerate(FEATURES.cameras):
            np.testing.assert_array_equal(data.images[row, view], frame.images[camera])
    np.testing.assert_array_equal(data.proprioception, [frame.proprioception for frame in FRAMES])
    np.testing.assert_array_equal(data.actions, [frame.action for frame in FRAMES])
    assert data.images.dtype == np.uint8
    assert data.actions.dtype == data.proprioception.dtype == np.float32
    assert data.instructions == [frame.instruction for frame in FRAMES]
    assert data.episode_index.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert data.frame_index.tolist() == [0, 1, 2, 0, 1, 2, 3, 0, 1]
    assert data.keyframe_index.tolist() == [0, 0, 1, 0, 0, 1, 1, 0, 0]
    assert data.task == ["open_drawer"] * 3 + ["turn_tap"] * 4 + ["open_drawer"] * 2


def test_metadata_has_the_v3_layout(root):
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, 9, 2)
    assert info["splits"] == {"train": "0:3"}
    assert info["features"]["observation.images.wrist"]["shape"] == [8, 6, 3]
    assert info["features"]["action"] == {"dtype": "float32", "shape": [4], "names": ["x", "y", "z", "g"]}
    table = pq.read_table(root / info["data_path"].format(chunk_index=0, file_index=0))
    assert set(table.column_names) == set(info["features"])
    assert table["index"].to_pylist() == list(range(9))
    assert table["timestamp"].to_pylist() == [0, 1, 2, 0, 1, 2, 3, 0, 1]

    tasks = pd.read_parquet(root / "meta/tasks.parquet")
    assert tasks.loc["turn left tap"].task_index == 1
    episodes = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in episodes] == [(0, 3), (3, 7), (7, 9)]
    assert [row["tasks"] for row in episodes][1] == ["turn left tap"]
    assert [(row["suite_task"], row["variation"], row["seed"]) for row in episodes][1] == ("turn_tap", 1, 9)
    np.testing.assert_allclose(episodes[1]["stats/action/max"], np.max([f.action for f in EPISODES[1][3]], axis=0))


def test_statistics_are_those_of_all_frames(root):
    stats = json.loads((root / "meta/stats.json").read_text())
    actions = np.array([frame.action for frame in FRAMES], np.float64)
    pixels = np.array([frame.images["wrist"] for frame in FRAMES]) / 255.0
    np.testing.assert_allclose(stats["action"]["mean"], actions.mean(0))
    np.testing.assert_allclose(stats["action"]["std"], actions.std(0))
    np.testing.assert_allclose(np.ravel(stats["observation.images.wrist"]["std"]), pixels.std((0, 1, 2)))
    assert np.shape(stats["observation.images.wrist"]["mean"]) == (3, 1, 1)
    assert stats["action"]["count"] == [9]


def test_files_roll_over_and_read_back_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(lerobot_write, "DATA_FILE_MB", 1e-3)
    write(tmp_path)
    assert len(list(tmp_path.glob("data/chunk-000/*.parquet"))) == 3
    assert read_dataset(tmp_path).episode_index.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2]
    episodes = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet")
    assert episodes["data/file_index"].to_pylist() == [0, 1, 2]


def test_writing_twice_gives_the_same_bytes(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 5
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_missing_folder_names_the_command(tmp_path):
    with pytest.raises(InputError, match=r"python -m train\.demos"):
        read_dataset(tmp_path / "nowhere")


def test_folder_without_dataset_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"info\.json is missing"):
        read_dataset(tmp_path)


def test_older_layout_is_refused(root):
    info = json.loads((root / "meta/info.json").read_text())
    (root / "meta/info.json").write_text(json.dumps(info | {"codebase_version": "v2.1"}))
    with pytest.raises(InputError, match=r"v2\.1"):
        read_dataset(root)


def test_dataset_with_videos_is_refused(root):
    text = (root / "meta/info.json").read_text().replace('"image"', '"video"')
    (root / "meta/info.json").write_text(text)
    with pytest.raises(InputError, match="images stored in the data files"):
        read_dataset(root)


def test_frame_without_image_is_noticed(root):
    (path,) = root.glob("data/*/*.parquet")
    table = pq.read_table(path)
    place = table.column_names.index("observation.images.wrist")
    cells = [None, *table["observation.images.wrist"].to_pylist()[1:]]
    pq.write_table(table.set_column(place, table.field(place), pa.array(cells, table.field(place).type)), path)
    with pytest.raises(InputError, match=r"without an image of 'observation\.images\.wrist'"):
        read_dataset(root)


def test_lost_data_file_is_noticed(root):
    shutil.rmtree(root / "data")
    with pytest.raises(InputError, match="0 frames"):
        read_dataset(root)


def test_contradicting_frames_are_refused():
    frames = [frame._replace(action=np.zeros(5, np.float32)) for frame in FRAMES]
    with pytest.raises(ValueError, match="action"):
        encode_episode(FEATURES, "open_drawer", 0, 0, frames)
    with pytest.raises(ValueError, match="without frames"):
        encode_episode(FEATURES, "open_drawer", 0, 0, [])
    with pytest.raises(ValueError, match="at least one episode"):
        write_dataset(None, FEATURES, [])


def test_lerobot_loads_it(root):
    lerobot = pytest.importorskip("lerobot.datasets.lerobot_dataset")
    dataset = lerobot.LeRobotDataset("local/demos", root=root)
    assert len(dataset) == len(FRAMES)
    item = dataset[4]
    assert item["task"] == "turn left tap"
    np.testing.assert_array_equal(item["action"].numpy(), FRAMES[4].action)
    image = item["observation.images.wrist"].numpy().transpose(1, 2, 0)
    np.testing.assert_array_equal(np.round(image * 255), FRAMES[4].images["wrist"])
