"""Places are told apart by what stands below them, not by where on the table they are."""

import pytest
import torch

from model.cameras import CameraModel, project_all
from model.choice import APART, Choice, apart, choice_loss

CAMERAS = (
    CameraModel(60.0, "world", (0.0, 0.0, 2.0), (0.0, 0.0, 0.0, 1.0)),
    CameraModel(60.0, "world", (1.5, 0.0, 1.0), (0.5, 0.5, 0.5, 0.5)),
)
RED, GREEN = 2, 3  # word numbers
TIP = torch.tensor([[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]])


def choice():
    torch.manual_seed(0)
    made = Choice(CAMERAS, width=16, vocabulary=4)
    made.lexicon[RED] = torch.tensor([1.0, -1.0, -1.0, 1.0])
    made.lexicon[GREEN] = torch.tensor([-1.0, 1.0, -1.0, 1.0])
    return made


def scene(count, rng):
    """A red and a green ball somewhere on a table, and the places 10 cm above them."""
    balls = torch.stack([0.5 * torch.rand(count, 2, generator=rng) - 0.25 for _ in range(2)], dim=1)
    balls[:, 1] += torch.where(balls[:, 0] > 0, -0.4, 0.4) / 2
    at = torch.cat([balls, torch.full((count, 2, 1), 0.4)], dim=-1)
    shown = project_all(CAMERAS, TIP.expand(count, -1), at)
    grid = (torch.arange(64) + 0.5) / 32 - 1
    views = torch.full((count, 2, 3, 64, 64), -0.2)
    for ball, colour in enumerate(torch.tensor([[1.0, -1, -1], [-1, 1, -1]])):
        away = torch.stack(torch.meshgrid(grid, grid, indexing="xy"), -1) - shown[:, :, ball, None, None]
        views = torch.where((away.norm(dim=-1) < 0.09)[:, :, None], colour[:, None, None], views)
    return views, at + torch.tensor([0.0, 0.0, 0.1])


def ask(made, views, places, word, **options):
    count = len(views)
    torch.manual_seed(1)
    text = torch.randn(1, 3, 16).expand(count, -1, -1)  # says nothing: the words alone do
    words = torch.stack([word, torch.zeros_like(word)], dim=1)
    mask = torch.tensor([[True, True, False]]).expand(count, -1)
    return made(views, TIP.expand(count, -1), places, text, mask, words, **options)


def test_it_learns_what_a_word_asks_for_and_knows_it_in_new_scenes():
    made, rng = choice(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(made.parameters(), 3e-3)
    for _ in range(60):
        views, places = scene(32, rng)
        word = torch.randint(RED, GREEN + 1, (32,), generator=rng)
        goal = places[torch.arange(32), word - RED]
        loss, _ = choice_loss(ask(made, views, places, word), places, torch.zeros(32, 2), goal, 0.04)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    views, places = scene(200, rng)
    word = torch.randint(RED, GREEN + 1, (200,), generator=rng)
    with torch.no_grad():
        scores = ask(made, views, places, word)
        assert (scores.argmax(-1) == word - RED).float().mean() > 0.95
        swapped = ask(made, views, places.flip(1), word)
        assert torch.allclose(swapped, scores.flip(1), atol=1e-4)


def test_columns_hang_below_their_places_and_turn():
    made, rng = choice(), torch.Generator().manual_seed(0)
    views, places = scene(4, rng)
    colours, seen = made._colours(views, TIP.expand(4, -1), places, None)
    below = colours[:, :, 0].unflatten(-1, (6, 5, 5))[:, 0, :, 2, 2, 2]  # view from above, 8 cm below, the middle
    assert torch.allclose(below, torch.tensor([1.0, -1.0, -1.0]).expand(4, 3)) and seen.min() >= 0
    turned, _ = made._colours(views, TIP.expand(4, -1), places, torch.full((4,), torch.pi / 2))
    square = colours.unflatten(-1, (6, 5, 5))
    assert torch.allclose(turned.unflatten(-1, (6, 5, 5)), square.rot90(1, (-2, -1)), atol=1e-4) or torch.allclose(
        turned.unflatten(-1, (6, 5, 5)), square.rot90(-1, (-2, -1)), atol=1e-4
    )


def test_places_are_the_likeliest_apart_from_each_other():
    points = torch.tensor([[[0.0, 0, 0], [0.01, 0, 0], [0.5, 0, 0], [0.52, 0, 0]]])
    places, worth = apart(points, torch.tensor([[1.0, 2.0, 0.5, 0.1]]), 3)
    assert places[0, :2, 0].tolist() == pytest.approx([0.01, 0.5]) and worth[0].tolist() == [2.0, 0.5, -torch.inf]
    assert APART > 0.02


def test_the_loss_counts_observations_with_a_right_and_a_wrong_place():
    places = torch.tensor([[[0.0, 0, 0], [0.5, 0, 0]]]).repeat(3, 1, 1)
    worth = torch.tensor([[0.0, 0.0], [0.0, -torch.inf], [0.0, 0.0]])
    goal = torch.tensor([[0.5, 0, 0.01], [0.0, 0, 0], [0.0, 0.3, 0]])
    scores = torch.tensor([[1.0, 3.0], [9.0, 9.0], [5.0, 7.0]], requires_grad=True)
    loss, right = choice_loss(scores, places, worth, goal, 0.04)
    assert loss.item() == pytest.approx(torch.tensor([1.0, 3.0]).softmax(0)[1].log().neg().item()) and right == 1
    loss.backward()
    assert not scores.grad[1:].any()
    nothing, _ = choice_loss(scores[1:], places[1:], worth[1:], goal[1:], 0.04)
    assert nothing.item() == 0
