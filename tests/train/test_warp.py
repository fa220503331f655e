"""Views that are moved at random still tell where in space a pixel lies."""

import torch

from train.warp import in_warped, random_warps, warped


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_bright_spot_is_found_where_the_maps_say():
    size, spots = 64, torch.tensor([[[20, 30], [40, 22], [33, 45]], [[25, 25], [31, 31], [44, 38]]])  # x, y
    images = torch.zeros(2, 3, size, size, 3, dtype=torch.uint8)
    for row, views in enumerate(spots.tolist()):
        for view, (x, y) in enumerate(views):
            images[row, view, y - 2 : y + 3, x - 2 : x + 3] = 255
    maps = random_warps(2, 3, 1.0, rng())
    moved, expected = warped(images, maps), in_warped((spots + 0.5) * 2 / size - 1, maps)
    changed = 0
    for row in range(2):
        for view in range(3):
            y, x = (moved[row, view, ..., 0] > 0).nonzero().float().mean(0).tolist()
            found = torch.tensor([x + 0.5, y + 0.5]) * 2 / size - 1
            assert (found - expected[row, view]).abs().max() < 0.8 * 2 / size
            changed += (torch.tensor([x, y]) - spots[row, view]).abs().max() > 1
    assert changed >= 4  # most of them went elsewhere


def test_no_warp_changes_nothing():
    images = torch.randint(0, 256, (2, 3, 32, 32, 3), dtype=torch.uint8, generator=rng())
    maps = random_warps(2, 3, 0.0, rng())
    assert torch.equal(warped(images, maps), images)
    image = torch.rand(2, 3, 2, generator=rng())
    assert torch.allclose(in_warped(image, maps), image)


def test_maps_take_back_what_was_moved():
    maps = random_warps(4, 2, 1.0, rng(3))
    image = 2 * torch.rand(4, 2, 2, generator=rng(4)) - 1
    there = in_warped(image, maps)
    back = torch.einsum("bvij,bvj->bvi", maps[..., :2], there) + maps[..., 2]
    assert torch.allclose(back, image, atol=1e-5)
    behind = torch.full((4, 2, 2), torch.nan)
    assert in_warped(behind, maps).isnan().all()
