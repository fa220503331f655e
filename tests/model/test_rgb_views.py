import numpy as np
import pytest

from envs.spec import InputError
from model.qwen.views import names_rgb, rgb_views

RGB = np.zeros((4, 6, 3), np.uint8)


def test_own_observation_gives_its_cameras_in_order():
    observation = {
        "images": {"wrist": RGB, "front": RGB + 1},
        "proprioception": np.zeros(8, np.float32),
        "instruction": "open",
    }
    views = rgb_views(observation)
    assert list(views) == ["wrist", "front"]
    np.testing.assert_array_equal(views["front"], RGB + 1)


def test_lerobot_row_loses_depth_masks_segmentation_and_point_clouds():
    row = {
        "observation.images.front": RGB,
        "observation.images.front_depth": RGB,  # depth as colours
        "observation.images.segmentation": RGB,
        "observation.images.left_mask": RGB,
        "observation.images.pointCloud": RGB,
        "observation.images.point_cloud": RGB,
        "observation.images.wrist": RGB,
        "observation.state": np.zeros(7, np.float32),
        "task": "open the drawer",
        "timestamp": [0.5, [1.0]],
    }
    assert list(rgb_views(row)) == ["front", "wrist"]


def test_kind_of_a_folder_counts_for_what_is_in_it():
    assert list(rgb_views({"rgb": {"front": RGB}, "depth": {"front": RGB}})) == ["front"]


@pytest.mark.parametrize(
    "picture",
    [
        RGB.astype(np.float32),
        RGB.astype(np.uint16),
        RGB[..., :1],
        RGB[..., 0],
        np.zeros((4, 6, 4), np.uint8),
        RGB[None],
    ],
    ids=["float", "16 bits", "one channel", "flat", "four channels", "batch"],
)
def test_other_arrays_are_not_views(picture):
    assert list(rgb_views({"front": RGB, "other": picture})) == ["front"]
    with pytest.raises(InputError, match=r"no RGB view .*other \(.*uint8 arrays"):
        rgb_views({"other": picture})


def test_no_view_names_what_there_is():
    with pytest.raises(InputError, match=r"front_depth \(uint8 \[4, 6, 3\]\), state \(float64 \[2\]\)"):
        rgb_views({"front_depth": RGB, "state": np.zeros(2)})
    with pytest.raises(InputError, match="none"):
        rgb_views({})


def test_names():
    for name in ("front", "observation.images.left_shoulder", "overhead", "rgb", "cam_high", "egocentric"):
        assert names_rgb(name), name
    for name in ("depth", "frontDepth", "seg", "instance_segmentation", "gripper_mask", "cam.xyz", "scene_pcd"):
        assert not names_rgb(name), name
