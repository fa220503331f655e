"""Headings are told apart on circles around a place, at every turn of the scene alike."""

import math

import pytest
import torch
from test_local import CAMERAS, POINT, SIZE, TIP, spot

from model.anchor import Anchor, heading_of, upright
from model.cameras import rotation_matrix
from model.heading import TURNS, HeadingView, best_heading, headings, wrapped
from model.pointer import turn_loss
from model.views import channels_first

STEP = 2 * math.pi / TURNS


def make() -> HeadingView:
    torch.manual_seed(0)
    return HeadingView(CAMERAS, 16, (0.0, -0.04))


def bar(heading: float) -> torch.Tensor:
    """Views of a bar through the point."""
    images = torch.zeros((1, len(CAMERAS), SIZE, SIZE, 3), dtype=torch.uint8)
    for k in range(-6, 7):
        images |= spot(POINT + 0.008 * k * torch.tensor([[math.cos(heading), math.sin(heading), 0.0]]))
    return images


def seen_bar(heading: float) -> torch.Tensor:
    """The same as the network takes them."""
    return channels_first(bar(heading))


@pytest.mark.parametrize("heading", [-3.1, -0.4, 1.3, 3.12])
def test_the_best_heading_is_found_across_the_seam(heading):
    logits = -200 * wrapped(headings() - heading)[None].square()
    assert wrapped(best_heading(logits) - heading).abs() < 0.01
    # A second candidate does not pull it.
    other = torch.logaddexp(logits, -200 * wrapped(headings() - heading - 1.5)[None].square() - 0.5)
    assert wrapped(best_heading(other) - heading).abs() < 0.01


def test_turning_the_circles_shifts_the_answer():
    """Whatever the weights: what is seen in one direction of the world is scored alike from every frame."""
    look, goal = make(), torch.randn(1, 16)
    with torch.no_grad():
        for parameter in look.parameters():
            parameter.mul_(3)
        first = look(seen_bar(0.3), TIP, upright(POINT), goal)
        for steps in (1, 17, 40):
            turned = look(seen_bar(0.3), TIP, Anchor(POINT, torch.tensor([steps * STEP])), goal)
            assert torch.allclose(turned.roll(steps, dims=-1), first, atol=1e-3)
        assert (first - look(seen_bar(1.0), TIP, upright(POINT), goal)).abs().max() > 0.05


def test_it_knows_how_the_hand_is_turned():
    look, goal = make(), torch.randn(1, 16)
    turned = TIP.clone()
    turned[:, 3:] = torch.tensor([[math.cos(0.3), math.sin(0.3), 0.0, 0.0]])
    columns = rotation_matrix(turned[:, 3:])[:, :, :2].mT.flatten(1)
    assert wrapped(heading_of(columns) - heading_of(rotation_matrix(TIP[:, 3:])[:, :, :2].mT.flatten(1)))[
        0
    ].item() == pytest.approx(0.6, abs=1e-5)
    images = channels_first(torch.zeros_like(bar(0.0)))
    with torch.no_grad():
        assert (look(images, TIP, upright(POINT), goal) - look(images, turned, upright(POINT), goal)).abs().max() > 1e-3


def test_a_heading_that_was_learned_at_some_turns_is_known_at_all():
    """Of a bar, whose halves differ in nothing: half a turn apart both answers are right. Learned from a quarter."""
    look, goal = make(), torch.zeros(16, 16)
    optimizer = torch.optim.Adam(look.parameters(), 3e-3)
    rng = torch.Generator().manual_seed(0)

    def found(turns: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        images = torch.cat([seen_bar(turn) for turn in turns.tolist()])
        return look(images, TIP.expand(16, 7), Anchor(POINT.expand(16, 3), frame), goal)

    for _ in range(25):
        turns = 0.5 * math.pi * torch.rand(16, generator=rng)
        frame = 2 * math.pi * torch.rand(16, generator=rng)
        target = turns + math.pi * torch.randint(2, (16,), generator=rng)
        loss = turn_loss(found(turns, frame), target - frame).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    turns = torch.linspace(0, math.pi, 17)[:16]
    with torch.no_grad():
        miss = torch.remainder(best_heading(found(turns, torch.zeros(16))) - turns, math.pi)
    assert torch.minimum(miss, math.pi - miss).median() < math.radians(5)
