import dataclasses

import numpy as np
import pytest
from PIL import Image

from envs import gallery, sheets
from envs.spec import Episode, InputError
from envs.suite import load_suite


@pytest.fixture
def scene():
    env = load_suite("mock").make("pick")
    return gallery.play(env, Episode("mock", "pick", 0, 5), 64, Episode("mock", "pick", 1, 6))


def read(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def test_a_gallery_of_a_suite(tmp_path, capsys):
    out = tmp_path / "deep" / "gallery"
    assert gallery.main(["--suite", "mock", "--out", str(out), "--size", "96"]) == 0
    assert {path.name for path in out.iterdir()} == {"reach.png", "pick.png", "overview.png"}
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3 and "reach.png: success after 1 actions" in printed[0]
    assert read(out / "overview.png").shape[1] == sheets.OVERVIEW_WIDTH
    sheet = read(out / "pick.png")
    assert sheet.shape[0] > 3 * 96 and sheet.shape[1] > 2 * 96
    for path in out.iterdir():
        assert path.stat().st_size < 300_000
        assert (read(path)[[0, -1]] == 255).all(), "the paper is white"


def test_some_tasks_give_no_overview(tmp_path):
    assert gallery.main(["--suite", "mock", "--tasks", "pick", "--out", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["pick.png"]


def test_the_experts_episode_is_played_to_its_end(scene):
    assert scene.success and scene.actions == 4
    assert "cube" in scene.start.instruction
    for camera in ("front", "overhead"):
        start, end, other = (np.asarray(view.images[camera]) for view in (scene.start, scene.end, scene.other))
        assert start.shape == end.shape == other.shape == (64, 64, 3)
        assert not np.array_equal(start, end) and not np.array_equal(start, other)
    assert scene.start.variation == scene.end.variation != scene.other.variation
    assert scene.start.instruction == scene.end.instruction != scene.other.instruction


def test_an_environment_that_draws_for_people_is_asked_to():
    suite = load_suite("mock")
    env = suite.make("reach")
    asked = []

    def picture(camera, height, width):
        asked.append((camera, height, width))
        return np.full((height, width, 3), 7, dtype=np.uint8)

    env.picture = picture
    scene = gallery.play(env, suite.episodes("reach", "train", 1)[0], 40)
    assert asked == [("front", 40, 40), ("overhead", 40, 40)] * 2
    assert np.asarray(scene.end.images["overhead"]).max() == 7


def flat(view, colours):
    """The view with pictures of one colour each."""
    images = {name: Image.new("RGB", (64, 64), tuple(map(int, next(colours)))) for name in view.images}
    return dataclasses.replace(view, images=images)


def test_the_sheet_holds_every_picture_in_its_place(scene):
    colours = iter(np.random.default_rng(0).integers(40, 200, (6, 3), dtype=np.uint8))
    views = {name: flat(getattr(scene, name), colours) for name in ("start", "end", "other")}
    sheet = np.asarray(sheets.contact_sheet(dataclasses.replace(scene, **views)))
    places = []
    for view in views.values():
        for image in view.images.values():
            found = np.argwhere((sheet == image.getpixel((0, 0))).all(axis=-1))
            assert len(found) >= 64 * 64
            places.append(found.mean(axis=0))
    rows, columns = np.array(places)[:, 0].reshape(3, 2), np.array(places)[:, 1].reshape(3, 2)
    assert (np.diff(rows, axis=0) > 64).all() and (np.diff(columns, axis=1) > 64).all()


def test_a_task_with_one_variation_has_two_rows(scene):
    lone = sheets.contact_sheet(dataclasses.replace(scene, other=None))
    assert lone.height < sheets.contact_sheet(scene).height - 64
    assert sheets.overview([scene]).size == sheets.overview([dataclasses.replace(scene, other=None)]).size


def test_a_failed_episode_says_so(scene):
    failed = sheets.contact_sheet(dataclasses.replace(scene, success=False))
    assert not np.array_equal(np.asarray(failed), np.asarray(sheets.contact_sheet(scene)))


def test_small_objects_keep_their_colours(tmp_path):
    rng = np.random.default_rng(0)
    shades = np.array([200, 160, 110]) + rng.normal(0, 12, (400, 400, 1))
    image = shades.clip(0, 255).astype(np.uint8)
    image[:5], image[200:206, 200:206] = 255, (0, 0, 255)
    sheets.save(Image.fromarray(image), tmp_path / "a.png")
    saved = read(tmp_path / "a.png").astype(int)
    assert np.abs(saved[203, 203] - (0, 0, 255)).max() < 16
    assert np.abs(saved - image).mean() < 3


def test_a_task_without_an_expert_is_told():
    suite = load_suite("mock")
    env = suite.make("reach")

    def no_expert():
        raise NotImplementedError("reach has no scripted expert")

    env.expert_action = no_expert
    with pytest.raises(InputError, match="leave it out of --tasks"):
        gallery.play(env, suite.episodes("reach", "train", 1)[0], 64)


BAD = {
    "--suite mok": "Did you mean 'mock'",
    "--suite mock --tasks reech": "Did you mean 'reach'",
    "--suite mock --tasks reach reach": "twice",
    "--suite mock --size 8": "--size must lie between 32 and 720",
    "--suite mock --sim mujoco": "Choose one of: mock",
    "--suite mock --out file": "name a folder",
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_told_and_nothing_is_written(tmp_path, monkeypatch, capsys, bad):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert gallery.main(bad.split()) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and BAD[bad] in printed.err
    assert printed.out == "" and [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as end:
        gallery.main(["--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert "python -m envs.gallery --suite rlbench18" in printed and "--seed-block" in printed
