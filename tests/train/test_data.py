from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up import NAMES, config, dataset
from made_up_trainer import TinyTrainer, made_up_data

from envs.spec import InputError
from train import demonstrations
from train.config import TrainConfig
from train.data import augment, check_crop, chunk_rows, prepare, shifted, step_rows
from train.demonstrations import Demonstrations, read_demonstrations
from train.facts import calibration, facts_of
from train.run import objective_of


def test_chunks_start_with_the_frames_own_keyframe_and_repeat_the_last():
    episode, keyframe = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1])
    rows, counts = chunk_rows(episode, keyframe, 3)
    assert rows.tolist() == [[0, 1, 2], [1, 2, 2], [2, 2, 2], [3, 4, 4], [4, 4, 4]]
    assert counts.all()


def test_where_the_hand_went_astray_the_rest_of_a_chunk_does_not_count(tmp_path):
    episode, keyframe = np.zeros(5, int), np.array([0, 1, 3, 5, 6])
    rows, counts = chunk_rows(episode, keyframe, 3)
    assert rows.tolist() == [[0, 1, 1], [1, 1, 1], [2, 2, 2], [3, 4, 4], [4, 4, 4]]
    assert counts.sum(1).tolist() == [2, 1, 1, 3, 3]
    demos = dataset()
    facts = facts_of(config(tmp_path), objective_of(config(tmp_path)), Demonstrations(demos))
    gaps = replace(demos, keyframe_index=2 * demos.keyframe_index)
    whole, broken = (prepare(d, False, 2, facts.normalizer, facts.vocabulary) for d in (demos, gaps))
    rows = torch.arange(len(demos.actions))
    assert whole.batch(rows).mask.all(1).sum() == 10 * len(rows)
    last = torch.from_numpy(demos.keyframe_index == demos.keyframe_index.max())
    assert broken.batch(rows).mask[:, 0].sum() == 10 * len(rows)
    assert torch.equal(broken.batch(rows).mask[:, 1].any(-1), last)


def test_chunks_skip_frames_between_keyframes():
    episode, keyframe = np.zeros(5, int), np.array([0, 0, 0, 1, 1])
    rows, _ = chunk_rows(episode, keyframe, 2)
    assert rows.tolist() == [[0, 3], [1, 3], [2, 3], [3, 3], [4, 3]]


def test_every_epoch_visits_every_frame_once():
    seen = torch.cat([step_rows(step, 4, 10, seed=3) for step in range(5)])
    assert sorted(seen[:10].tolist()) == list(range(10)) == sorted(seen[10:].tolist())
    assert seen[:10].tolist() != seen[10:].tolist()


def test_batches_hold_what_the_dataset_says(tmp_path):
    demos = dataset()
    facts = facts_of(config(tmp_path), objective_of(config(tmp_path)), Demonstrations(demos))
    data = prepare(demos, False, 2, facts.normalizer, facts.vocabulary)
    batch = data.batch(torch.tensor([4, 5]))
    action = facts.normalizer.to_action(batch.target[0, 0].numpy())
    assert np.allclose(action[:, :8], demos.actions[[4, 5]], atol=1e-5)
    assert batch.mask.sum() == 2 * 2 * 10 and batch.goal is None
    assert np.array_equal(batch.observations.images[1].numpy(), demos.images[5])
    assert np.array_equal(batch.observations.tip.numpy(), demos.proprioception[[4, 5], 1:8])
    calibrated = prepare(demos, True, 2, facts.normalizer, facts.vocabulary).batch(torch.tensor([4, 5]))
    assert np.array_equal(calibrated.goal.numpy(), demos.actions[[4, 5], :3])


def test_the_end_effectors_pose_is_found_by_name_and_needed(tmp_path):
    demos = dataset()
    facts = facts_of(config(tmp_path), objective_of(config(tmp_path)), Demonstrations(demos))
    order = [8, 3, 2, 1, 0, 7, 6, 5, 4]
    names = tuple(NAMES[k] for k in order)
    shuffled = replace(demos, proprioception=demos.proprioception[:, order], proprioception_names=names)
    data = prepare(shuffled, True, 1, facts.normalizer, facts.vocabulary)
    assert np.array_equal(data.tip.numpy(), demos.proprioception[:, 1:8])
    unnamed = replace(demos, proprioception_names=("height", *NAMES[1:3], "eef_height", *NAMES[4:]))
    with pytest.raises(InputError, match=r"eef_z.*train\.demos"):
        prepare(unnamed, True, 1, facts.normalizer, facts.vocabulary)
    # Where no camera is calibrated nothing reads the pose.
    assert (prepare(unnamed, False, 1, facts.normalizer, facts.vocabulary).tip == 0).all()


def test_uncalibrated_or_unknown_cameras_give_no_calibration(tmp_path):
    demos = dataset()
    assert calibration(config(tmp_path), demos) == ()
    assert calibration(config(tmp_path), replace(demos, cameras=("front", "overhead"))) == ()


@pytest.mark.sim
def test_calibration_comes_from_the_suite_in_the_demonstrations_order(tmp_path):
    settings, demos = config(tmp_path, suite="rlbench18"), dataset()
    cameras = calibration(settings, replace(demos, cameras=("wrist", "front")))
    assert [camera.mount for camera in cameras] == ["eef", "world"]
    assert calibration(settings, replace(demos, cameras=("front", "wrist"))) == cameras[::-1]
    assert calibration(settings, replace(demos, cameras=("front", "elbow"))) == ()


def test_augmentation_off_changes_nothing_and_on_keeps_the_scene(tmp_path):
    demos = dataset()
    facts = facts_of(config(tmp_path), objective_of(config(tmp_path)), Demonstrations(demos))
    batch = prepare(demos, True, 1, facts.normalizer, facts.vocabulary).batch(torch.arange(4))
    rng = torch.Generator().manual_seed(0)
    assert torch.equal(augment(batch, 0.0, rng).observations.images, batch.observations.images)
    changed = augment(batch, 0.1, rng)
    jittered = changed.observations.images.int() - batch.observations.images.int()
    assert 0 < jittered.abs().max() < 40
    assert changed.observations[1:] == batch.observations[1:] and changed[1:] == batch[1:]
    # One change for the whole of a view: what was of one grey still is.
    dark, bright = (batch.observations.images == value for value in (0, 255))
    for row in range(4):
        for view in range(2):
            images = changed.observations.images[row, view]
            assert len(images[bright[row, view]].unique()) == len(images[dark[row, view]].unique()) == 1


def padded_and_cut(view: np.ndarray, down: int, right: int, most: int = 8) -> np.ndarray:
    """What a shift is, said in another way: pad with the edge, then cut a window out."""
    size = len(view)
    padded = np.pad(view, ((most, most), (most, most), (0, 0)), mode="edge")
    return padded[most + down : most + down + size, most + right : most + right + size]


def test_a_shift_repeats_the_edge_and_moves_each_view_by_itself():
    images = made_up_data().images[:3]
    shift = torch.tensor([[[0, 2], [-3, 8], [1, -1]], [[0, -2], [0, -8], [5, 4]]])
    moved = shifted(images, shift)
    for row in range(3):
        for view in range(2):
            down, right = shift[:, row, view].tolist()
            assert np.array_equal(moved[row, view].numpy(), padded_and_cut(images[row, view].numpy(), down, right))


def test_crops_reach_every_shift_up_to_the_largest():
    batch = made_up_data().batch(torch.arange(16))
    rng, seen = torch.Generator().manual_seed(0), set()
    for _ in range(4):
        cropped = augment(batch, 0.0, rng, crop=1)
        assert cropped.observations[1:] == batch.observations[1:] and cropped[1:] == batch[1:]
        for before, after in zip(
            batch.observations.images.flatten(0, 1), cropped.observations.images.flatten(0, 1), strict=True
        ):
            fits = [
                (down, right)
                for down in (-1, 0, 1)
                for right in (-1, 0, 1)
                if np.array_equal(padded_and_cut(before.numpy(), down, right), after.numpy())
            ]
            assert len(fits) == 1
            seen.update(fits)
    assert len(seen) == 9


def test_a_steps_crop_depends_on_seed_and_step_alone(tmp_path):
    """A resumed run sees the views that one without an interruption sees."""
    seen: dict[tuple[int, int], list[torch.Tensor]] = {}

    class Seeing(TinyTrainer):
        def batch(self, rows, rng):
            batch = super().batch(rows, rng)
            seen.setdefault((self.config.seed, self.step), []).append(batch.observations.images)
            return batch

    for seed in (0, 0, 1):
        trainer = Seeing(config(tmp_path, crop=3, jitter=0.0, seed=seed, batch_size=16))
        trainer.train_step()
        trainer.train_step()
    resumed = Seeing(config(tmp_path, crop=3, jitter=0.0, batch_size=16))
    resumed.step = 1
    resumed.train_step()
    for images in seen.values():
        assert all(torch.equal(images[0], other) for other in images)
    assert {key: len(images) for key, images in seen.items()} == {(0, 0): 2, (0, 1): 3, (1, 0): 1, (1, 1): 1}
    originals = {view.numpy().tobytes() for view in made_up_data().images.flatten(0, 1)}
    cropped = [view.numpy().tobytes() for view in seen[0, 0][0].flatten(0, 1)]
    assert sum(view in originals for view in cropped) < 8  # one in 49 stays where it was


def test_without_a_crop_the_other_random_numbers_are_as_before():
    batch = made_up_data().batch(torch.arange(4))
    plain, off = (torch.Generator().manual_seed(3) for _ in range(2))
    assert torch.equal(
        augment(batch, 0.1, plain).observations.images, augment(batch, 0.1, off, crop=0).observations.images
    )
    augment(batch, 0.0, off, crop=0)
    assert torch.equal(torch.rand(3, generator=plain), torch.rand(3, generator=off))


def test_crops_are_refused_where_they_cannot_be():
    for crop in (0, 3):
        check_crop(crop, made_up_data())
    check_crop(0, made_up_data(calibrated=True), cached=True)
    with pytest.raises(InputError, match=r"calibrated.*Leave --crop out"):
        check_crop(3, made_up_data(calibrated=True))
    with pytest.raises(InputError, match=r"frozen encoder.*Leave --crop out"):
        check_crop(3, made_up_data(), cached=True)
    with pytest.raises(InputError, match="8 x 8"):
        check_crop(8, made_up_data())


@pytest.mark.parametrize(("suite", "mode"), [("rlbench18", "keyframe"), ("dynamic", "position")])
def test_the_suite_says_what_demonstrated_actions_mean(monkeypatch, suite, mode):
    monkeypatch.setattr(demonstrations, "read_dataset", lambda path: path)
    convention = read_demonstrations(TrainConfig(suite=suite)).convention
    assert convention.control_mode == mode and convention.embodiment == "absolute_eef"
