"""The losses of the places, and the point in space where the views' pointers meet."""

import math

import pytest
import torch

from model.anchor import Anchor
from model.cameras import CameraModel, project
from model.encoder import Encoder, EncoderConfig
from model.heading import headings
from model.local import CELLS, HALF, level_heights
from model.observation import Places
from model.parts import pixel_grid
from model.pointer import heat_loss, level_loss, places_loss, pointer_loss, turn_loss

TURN = (0.0, 0.0, 0.0, 1.0)
# From above (looking along -z), from the side (along -x: up is z), and one on the end effector.
CAMERAS = (
    CameraModel(60.0, "world", (0.0, 0.0, 1.5), TURN),
    CameraModel(60.0, "world", (1.5, 0.0, 0.2), (0.5, 0.5, 0.5, 0.5)),
    CameraModel(80.0, "eef", (0.0, 0.0, 0.1), TURN),
)
TIP = torch.tensor([[0.1, -0.2, 0.6, 0.0, 0.0, 0.0, 1.0]])
HEIGHTS = (0.0, 0.5)
POINT = torch.tensor([[0.15, -0.1, 0.2]])
HEADING = 0.4
AHEAD = torch.tensor([HEADING])


def heat(centre: torch.Tensor, cells: int, width: float = 0.05, unseen: float = -20.0) -> torch.Tensor:
    """Pointer logits [..., cells * cells + 1] of a bump at image coordinates [..., 2]."""
    bump = -(pixel_grid(cells) - centre[..., None, :]).square().sum(-1) / (2 * width**2)
    return torch.cat([bump, torch.full_like(bump[..., :1], unseen)], dim=-1)


def test_the_loss_is_least_at_the_true_pixel():
    image = torch.tensor([[[0.3, -0.45]]])
    candidates = [(0.3, -0.45), (-0.45, 0.3), (0.45, -0.45), (0.3, -0.6), (0.3, 0.45), (-0.3, -0.45)]
    losses = {xy: pointer_loss(heat(torch.tensor([[xy]]), 16), image).item() for xy in candidates}
    assert min(losses, key=losses.get) == (0.3, -0.45)
    seen = pointer_loss(heat(image, 16), image)
    assert pointer_loss(heat(image, 16, unseen=10.0), image) > seen + 1


@pytest.mark.parametrize("place", [(1.2, 0.0), (0.0, -1.01), (float("nan"), float("nan")), (float("nan"), 0.3)])
def test_where_the_point_is_not_in_view_the_last_entry_is_the_answer(place):
    image = torch.tensor([[place]])
    logits = torch.randn(1, 1, 65, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = pointer_loss(logits, image)
    assert torch.allclose(loss, -logits.log_softmax(-1)[0, 0, -1])
    loss.backward()
    assert logits.grad.isfinite().all() and logits.grad[0, 0, -1] < 0 and (logits.grad[0, 0, :-1] > 0).all()


def test_views_are_averaged():
    image = torch.tensor([[[0.3, -0.45], [float("nan"), float("nan")], [-0.2, 0.7]]])
    logits = torch.randn(1, 3, 257, generator=torch.Generator().manual_seed(0))
    alone = [pointer_loss(logits[:, view : view + 1], image[:, view : view + 1]) for view in range(3)]
    assert torch.allclose(pointer_loss(logits, image), sum(alone) / 3)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(EncoderConfig(3, 128, 4, 5, 4, width=16, channels=4, keypoints=2, cameras=CAMERAS))


def test_the_views_pointers_meet_at_the_point_they_show(encoder):
    image = project(CAMERAS, TIP, POINT)
    assert (image.abs() < 0.9).all()
    found = encoder.point(heat(image, 32), TIP)
    assert (found - POINT).norm() < 0.005
    # Two views that see it are enough: what the third would say then does not matter.
    elsewhere = image.clone()
    elsewhere[0, 0] += 0.5
    blind = heat(elsewhere, 32)
    blind[0, 0, -1] = 20.0
    assert (encoder.point(blind, TIP) - POINT).norm() < 0.005
    # They also outvote one that is sure of another place.
    assert (encoder.point(heat(elsewhere, 32), TIP) - POINT).norm() < 0.005


def test_rays_to_different_objects_do_not_meet(encoder):
    """Each view sees both objects. One prefers the other object than the two that agree; so does none alone."""
    other = torch.tensor([[-0.15, 0.1, 0.2]])
    here, there = project(CAMERAS, TIP, POINT), project(CAMERAS, TIP, other)
    assert (there.abs() < 1).all() and ((here - there).abs().amax(-1) > 0.15).all()
    for odd in range(3):
        liking = torch.full((1, 3, 1), 0.8)
        liking[0, odd] = -0.7
        logits = torch.logaddexp(heat(here, 32) + liking, heat(there, 32))
        assert (encoder.point(logits, TIP) - POINT).norm() < 0.05
        assert (encoder.point(torch.logaddexp(heat(here, 32), heat(there, 32) + liking), TIP) - other).norm() < 0.05


def test_views_that_were_moved_show_the_same_point(encoder):
    """Each turned, zoomed and shifted by itself: what they show lies elsewhere, the ray is the same."""
    turn = torch.tensor([0.1, -0.15, 0.0])
    zoom = torch.tensor([0.9, 1.1, 1.0])
    shift = torch.tensor([[0.1, -0.05], [-0.08, 0.1], [0.0, 0.06]])
    rows = [torch.stack([turn.cos(), -turn.sin()], -1), torch.stack([turn.sin(), turn.cos()], -1)]
    maps = torch.cat([zoom[:, None, None] * torch.stack(rows, dim=1), shift[..., None]], dim=-1)[None]
    image = project(CAMERAS, TIP, POINT)
    moved = torch.linalg.solve(maps[..., :2], (image - maps[..., 2])[..., None])[..., 0]
    assert (encoder.point(heat(moved, 32), TIP, maps) - POINT).norm() < 0.008
    assert (encoder.point(heat(moved, 32), TIP) - POINT).norm() > 0.03


def test_where_no_view_sees_anything_the_point_is_the_end_effector(encoder):
    nothing = heat(torch.zeros(1, 3, 2), 32, unseen=60.0)
    assert torch.allclose(encoder.point(nothing, TIP), TIP[:, :3], atol=1e-4)


def test_a_second_candidate_does_not_pull_the_point_between_the_two(encoder):
    image = project(CAMERAS, TIP, POINT)
    second = image + torch.tensor([0.5, 0.3])
    logits = torch.logaddexp(heat(image, 32), heat(second, 32) - 0.4)
    assert (encoder.point(logits, TIP) - POINT).norm() < 0.05


def test_the_point_teaches_pointer_and_gains(encoder):
    logits = heat(project(CAMERAS, TIP, POINT) + 0.05, 32, width=0.1, unseen=-1.0).requires_grad_()
    encoder.zero_grad()
    # The views must disagree, or their weights would not matter.
    shifted = logits + heat(torch.tensor([[[0.0, 0.0], [0.2, 0.1], [-0.3, 0.1]]]), 32, width=0.5, unseen=0.0)
    (encoder.point(shifted, TIP) - POINT).norm().backward()
    assert logits.grad.isfinite().all() and (logits.grad.abs().sum(-1) > 0).all()
    assert (encoder.view_gain.grad.abs() > 0).all()


def test_every_view_needs_its_calibration():
    with pytest.raises(ValueError, match="3 calibrations for 2 views"):
        EncoderConfig(2, 32, 4, 5, 4, cameras=CAMERAS)


def test_a_heat_map_is_taught_the_cell_of_the_place():
    """Against the cross-entropy written out cell by cell."""
    place, sigma = torch.tensor([[0.25, -0.5]]), 0.3
    logits = torch.randn(1, 16, generator=torch.Generator().manual_seed(0))
    centres = [-0.75, -0.25, 0.25, 0.75]
    weights = [
        [torch.exp(torch.tensor(-((x - 0.25) ** 2 + (y + 0.5) ** 2) / (2 * sigma**2))) for x in centres]
        for y in centres
    ]
    total = sum(sum(row) for row in weights)
    log = logits[0] - logits[0].exp().sum().log()
    expected = -sum(weights[r][c] / total * log[4 * r + c] for r in range(4) for c in range(4))
    assert torch.allclose(heat_loss(logits, place, sigma)[0], expected, atol=1e-5)


def places(refined: torch.Tensor, heat_at: tuple[float, float], turn: float = 0.0) -> Places:
    bump = -(pixel_grid(CELLS) - torch.tensor([heat_at])).square().sum(-1) / 0.01
    level = -((level_heights(HEIGHTS) - refined[:, 2:]) / 0.01).square()
    frame = Anchor(POINT, torch.tensor([turn]))
    headed = -(torch.remainder(headings() - (HEADING - turn) + torch.pi, 2 * torch.pi) - torch.pi).square() * 70
    return Places(heat(project(CAMERAS, TIP, POINT), 32), POINT, frame, bump[None], level, headed[None], refined)


def test_places_cost_least_at_the_goal():
    goal = POINT + torch.tensor([[0.02, -0.01, 0.01]])
    here = (0.02 / HALF, -0.01 / HALF)
    best, metrics = places_loss(places(goal, here), project(CAMERAS, TIP, goal), HEIGHTS, goal, AHEAD)
    assert metrics["refined_cm"] == pytest.approx(0, abs=1e-3) and metrics["point_cm"] == pytest.approx(2.449, abs=0.01)
    for refined, at in ((goal + 0.01, here), (goal, (-here[0], here[1])), (goal, (here[0], -here[1]))):
        assert places_loss(places(refined, at), project(CAMERAS, TIP, goal), HEIGHTS, goal, AHEAD)[0] > best + 0.05
    image = project(CAMERAS, TIP, goal)
    assert places_loss(places(goal, here), image, HEIGHTS, goal, AHEAD + 0.3)[0] > best + 0.5
    # In a square that is turned by a quarter the goal lies elsewhere.
    turned = places_loss(
        places(goal, (here[1], -here[0]), torch.pi / 2), project(CAMERAS, TIP, goal), HEIGHTS, goal, AHEAD
    )[0]
    assert torch.allclose(turned, best, atol=1e-3)


def test_a_goal_outside_the_square_teaches_the_pointer_alone():
    goal = POINT + torch.tensor([[2 * HALF, 0.0, 0.0]])
    costs = [
        places_loss(places(refined, (0.1, 0.1)), project(CAMERAS, TIP, goal), HEIGHTS, goal, AHEAD)[0]
        for refined in (POINT, POINT + 0.05)
    ]
    assert torch.equal(*costs)


def test_levels_are_taught_the_height():
    logits = torch.zeros(1, 128)
    losses = [
        level_loss(-((level_heights(HEIGHTS) - z) / 0.01).square()[None], torch.tensor([0.2]), HEIGHTS)
        for z in (0.2, 0.21, 0.19, 0.3)
    ]
    assert min(losses) == losses[0] and losses[3] > losses[1] + 1
    assert torch.allclose(level_loss(logits, torch.tensor([0.2]), HEIGHTS), torch.tensor(128.0).log())


def test_headings_are_taught_across_the_seam():
    """Against the cross-entropy written out; the first and the last heading are neighbours."""
    logits = torch.randn(1, 72, generator=torch.Generator().manual_seed(0))
    angles = [math.radians(5 * k + 2.5 - 180) for k in range(72)]
    for heading in (0.3, 3.13, -3.13, 3.13 + 2 * math.pi):
        gaps = [abs(angle - heading) % (2 * math.pi) for angle in angles]
        weights = [math.exp(-((min(gap, 2 * math.pi - gap) / math.radians(5)) ** 2) / 2) for gap in gaps]
        log = logits[0].double() - logits[0].double().exp().sum().log()
        expected = -sum(weight / sum(weights) * log[k].item() for k, weight in enumerate(weights))
        assert turn_loss(logits, torch.tensor([heading])).item() == pytest.approx(expected, abs=1e-4)
    seam = torch.zeros(1, 72)
    seam[0, [0, 71]] = 10.0
    losses = [turn_loss(seam, torch.tensor([heading])).item() for heading in (math.pi, -math.pi, 3.0, 0.0)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4) and losses[0] < losses[2] < losses[3]
