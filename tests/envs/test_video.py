import imageio_ffmpeg
import numpy as np

from envs.spec import Episode
from envs.video import EpisodeVideo

EPISODE = Episode("mock", "reach", 2, 7)


def test_a_video_holds_its_frames_under_the_episodes_name(tmp_path):
    video = EpisodeVideo(tmp_path / "videos", EPISODE)
    for brightness in (0, 120, 240):
        video.add(np.full((49, 64, 3), brightness, dtype=np.uint8))  # an odd height loses its last row
    path = video.finish("success")
    assert path == tmp_path / "videos" / "reach_v2_s7_success.mp4"
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    reader = imageio_ffmpeg.read_frames(str(path))
    assert next(reader)["size"] == (64, 48)
    means = [np.frombuffer(frame, dtype=np.uint8).mean() for frame in reader]
    assert np.allclose(means, [0, 120, 240], atol=6)


def test_repeats_have_videos_of_their_own(tmp_path):
    for repeat in (0, 1):
        video = EpisodeVideo(tmp_path, Episode("mock", "reach", 2, 7, repeat))
        video.add(np.zeros((16, 16, 3), dtype=np.uint8))
        video.finish("failure")
    assert {path.name for path in tmp_path.iterdir()} == {"reach_v2_s7_failure.mp4", "reach_v2_s7_r1_failure.mp4"}


def test_discarded_and_empty_videos_leave_nothing(tmp_path):
    video = EpisodeVideo(tmp_path, EPISODE)
    video.discard()
    assert EpisodeVideo(tmp_path, EPISODE).finish("failure") is None
    video.add(np.zeros((16, 16, 3), dtype=np.uint8))
    video.discard()
    assert list(tmp_path.iterdir()) == []
