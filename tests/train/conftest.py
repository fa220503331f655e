import json

import numpy as np
import pytest

pytest.importorskip("pyarrow")

import av
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

FPS = 10


def write_video(path, colours):
    """Frames of one colour each, with key frames far apart and frames predicted from both sides."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"qp": "0", "g": "250", "bf": "3"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for colour in colours:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), colour, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture
def foreign(tmp_path):
    """Writes a LeRobot v3 dataset as somebody else would have.

    `vectors`: column -> [N, d]; `others`: column -> (feature, cells); `videos`: column -> colours of each episode, None
    for an episode without; the first two episodes share a file. Keywords of `info` replace entries of info.json.
    """

    def build(vectors, *, lengths=(3, 4), others=None, videos=None, names=None, sentences=("put it down",), info=None):
        root = tmp_path / "foreign"
        n = sum(lengths)
        episode = np.repeat(np.arange(len(lengths)), lengths)
        frame = np.concatenate([np.arange(length) for length in lengths])
        features, table = {}, {}
        for name, values in vectors.items():
            values = np.asarray(values, np.float32)
            features[name] = {"dtype": "float32", "shape": list(values.shape[1:]), "names": (names or {}).get(name)}
            table[name] = pa.array(values.tolist())
        for name, (feature, cells) in (others or {}).items():
            features[name], table[name] = feature, cells
        for name, values in (
            ("episode_index", episode),
            ("frame_index", frame),
            ("index", np.arange(n)),
            ("task_index", episode % len(sentences)),
        ):
            features[name] = {"dtype": "int64", "shape": [1], "names": None}
            table[name] = pa.array(values)
        rows = [{"episode_index": k, "length": length} for k, length in enumerate(lengths)]
        for name, episodes in (videos or {}).items():
            features[name] = {"dtype": "video", "shape": [48, 64, 3], "names": ["height", "width", "channels"]}
            files = [[], []]
            for row, colours in zip(rows, episodes, strict=True):
                file = int(row["episode_index"] > 1)
                begin = None if colours is None else len(files[file]) / FPS
                row[f"videos/{name}/chunk_index"] = None if colours is None else 0
                row[f"videos/{name}/file_index"] = None if colours is None else file
                row[f"videos/{name}/from_timestamp"] = begin
                row[f"videos/{name}/to_timestamp"] = None if colours is None else begin + len(colours) / FPS
                files[file] += colours or []
            for file, colours in enumerate(files):
                if colours:
                    write_video(root / f"videos/{name}/chunk-000/file-{file:03d}.mp4", colours)
        for folder in ("meta/episodes/chunk-000", "data/chunk-000"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), root / "meta/episodes/chunk-000/file-000.parquet")
        tasks = pd.DataFrame({"task_index": range(len(sentences))}, pd.Index(list(sentences), name="task"))
        tasks.to_parquet(root / "meta/tasks.parquet")
        data = pa.table(table)
        split = lengths[0]
        pq.write_table(data.slice(0, split), root / "data/chunk-000/file-000.parquet")
        pq.write_table(data.slice(split), root / "data/chunk-000/file-001.parquet")
        facts = {
            "codebase_version": "v3.0",
            "fps": FPS,
            "total_frames": n,
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
            "features": features,
        }
        (root / "meta/info.json").write_text(json.dumps(facts | (info or {})))
        return root

    return build
