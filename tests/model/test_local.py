"""The close look shows what lies at a place, at one scale and heading, whichever view sees it."""

import pytest
import torch

from model.anchor import Anchor, upright
from model.cameras import CameraModel, project
from model.local import CELL, CELLS, HALF, PLANES, TOKENS, LocalView, level_heights
from model.pointer import CLOSE_SIGMA, heat_loss
from model.views import channels_first

# Two cameras that look straight down, one of them turned by a quarter, and one that looks along the table.
DOWN = (0.0, 0.0, 0.0, 1.0)
TURNED = (0.0, 0.0, 0.5**0.5, 0.5**0.5)
CAMERAS = (CameraModel(50.0, "world", (0.3, 0.0, 2.0), DOWN), CameraModel(50.0, "world", (0.35, 0.1, 1.8), TURNED))
SIZE = 256
HEIGHTS = (0.7, 1.0)
POINT = torch.tensor([[0.32, 0.05, 0.8]])
TIP = torch.tensor([[0.3, 0.0, 1.2, 1.0, 0.0, 0.0, 0.0]])


@pytest.fixture(scope="module")
def look():
    return LocalView(CAMERAS, 16, HEIGHTS)


def spot(place, colour=255):
    """Views that are black but for a spot where a point appears."""
    image = torch.zeros((1, len(CAMERAS), SIZE, SIZE, 3), dtype=torch.uint8)
    for view, (x, y) in enumerate(project(CAMERAS, TIP, place)[0].tolist()):
        column, row = round((x + 1) * SIZE / 2 - 0.5), round((y + 1) * SIZE / 2 - 0.5)
        image[0, view, row - 2 : row + 3, column - 2 : column + 3] = colour
    return image


def found(look, images, anchor):
    """Centre of what is bright in the upper square of every view, m in the anchor's frame."""
    squares = (
        look.resample(channels_first(images), TIP, anchor).unflatten(1, (len(CAMERAS), len(PLANES), 4))[0, :, 0, 0] + 1
    )
    line = (torch.arange(CELLS) + 0.5 - CELLS / 2) * CELL
    weight = squares / squares.sum((1, 2), keepdim=True)
    return torch.stack([(weight.sum(1) * line).sum(1), (weight.sum(2) * line).sum(1)], dim=1)


@pytest.mark.parametrize("turn", [0.0, 0.5, -2.0])
def test_every_view_shows_a_place_where_it_is(look, turn):
    offset = torch.tensor([[0.03, -0.05, 0.0]])
    anchor = Anchor(POINT, torch.tensor([turn]))
    place = POINT + torch.einsum("bij,bj->bi", anchor.axes, offset)
    centres = found(look, spot(place), anchor)
    assert torch.allclose(centres, offset[:, :2].expand(2, 2), atol=0.005)


def test_turning_scene_and_anchor_alike_changes_nothing(look):
    """What the square shows does not depend on the heading of the scene: the point of the close look."""
    shown = []
    for turn in (0.0, 1.0):
        anchor = Anchor(POINT, torch.tensor([turn]))
        place = POINT + torch.einsum("bij,bj->bi", anchor.axes, torch.tensor([[0.05, 0.02, 0.0]]))
        shown.append(found(look, spot(place), anchor))
    assert torch.allclose(*shown, atol=0.005)


def test_what_no_view_covers_is_marked(look):
    images = torch.full((1, len(CAMERAS), SIZE, SIZE, 3), 255, dtype=torch.uint8)
    near = look.resample(channels_first(images), TIP, upright(POINT)).unflatten(1, (len(CAMERAS), len(PLANES), 4))
    far = look.resample(channels_first(images), TIP, upright(POINT + torch.tensor([5.0, 0, 0]))).unflatten(
        1, near.shape[1:4]
    )
    assert (near[:, :, :, 3] == 1).all() and (far[:, :, :, 3] == 0).all()


def test_what_it_finds_depends_on_views_hand_goal_and_heading(look):
    with torch.no_grad():
        images, goal = spot(POINT), torch.randn(1, 16)
        base = look(images, TIP, upright(POINT), goal)
        assert base.tokens.shape == (1, TOKENS, 16) and base.heat.shape == (1, CELLS * CELLS)
        others = [
            look(spot(POINT + 0.03), TIP, upright(POINT), goal),
            look(images, TIP + torch.tensor([[0.05, 0, 0, 0, 0, 0, 0]]), upright(POINT), goal),
            look(images, TIP, upright(POINT), -goal),
            look(images, TIP, Anchor(POINT, torch.tensor([0.5])), goal),
        ]
    assert all((base.tokens - other.tokens).abs().max() > 1e-4 for other in others)


def test_the_refined_point_is_where_the_heat_is():
    """A heat map that is the brightness of the first view in the square at the point's own height."""
    look = LocalView(CAMERAS, 16, HEIGHTS)
    with torch.no_grad():
        for parameter in look.parameters():
            parameter.zero_()
        look.enter.weight[0, 0, 1, 1] = 1.0  # passes the red of the first view and square on; residual units add zero
        look.heat.weight[0, 0] = 100.0
        for turn in (0.0, 0.7):
            frame = Anchor(POINT, torch.tensor([turn]))
            place = POINT + torch.einsum("bij,bj->bi", frame.axes, torch.tensor([[0.03, -0.045, 0.0]]))
            found = look(spot(place), TIP, frame, torch.zeros(1, 16))
            assert (found.anchor.point - place).norm() < 0.004


def test_the_refined_height_is_where_the_levels_say():
    """And without anything seen, where the point is."""
    look = LocalView(CAMERAS, 16, HEIGHTS)
    with torch.no_grad():
        for parameter in look.parameters():
            parameter.zero_()
        images, goal = spot(POINT), torch.zeros(1, 16)
        found = look(images, TIP, upright(POINT), goal).anchor
        assert torch.allclose(found.point[0, 2], POINT[0, 2], atol=0.001)
        look.level[2].bias -= (level_heights(HEIGHTS) - 0.86).square() * 1e6
        assert torch.allclose(
            look(images, TIP, upright(POINT), goal).anchor.point[0, 2], torch.tensor(0.86), atol=0.001
        )


def test_its_place_can_be_learned():
    """A few steps of the heat map's loss find spots anywhere in the square, to half a cell."""
    torch.manual_seed(0)
    look = LocalView(CAMERAS, 16, HEIGHTS)
    optimizer = torch.optim.Adam(look.parameters(), 1e-3)
    rng, losses, misses = torch.Generator().manual_seed(0), [], []
    for _ in range(16):
        places = POINT + 0.05 * (2 * torch.rand((8, 3), generator=rng) - 1) * torch.tensor([1.0, 1.0, 0.0])
        images = torch.cat([spot(place[None]) for place in places])
        found = look(images, TIP.expand(8, 7), upright(POINT.expand(8, 3)), torch.zeros(8, 16))
        loss = heat_loss(found.heat, (places - POINT)[:, :2] / HALF, CLOSE_SIGMA).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        misses.append((found.anchor.point - places)[:, :2].norm(dim=-1).mean().item())
    assert losses[-1] < losses[0] - 3 and max(misses[-3:]) < CELL / 2
