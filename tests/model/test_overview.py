"""Attention over all views' coarse maps."""

import torch

from model.encoder import Encoder, EncoderConfig
from model.overview import Overview


def parts():
    torch.manual_seed(0)
    overview = Overview(2, 4, 6, 16, 1)
    maps, text = torch.randn(6, 6, 4, 4), torch.randn(3, 5, 16)
    mask = torch.tensor([[True, True, True, False, False]] * 3)
    return overview, maps, text, mask


def test_it_adds_nothing_before_it_has_learned():
    overview, maps, text, mask = parts()
    assert torch.equal(overview(maps, text, mask), maps)


def test_every_cell_hears_of_every_cell_of_every_view_and_of_the_words_but_not_of_other_observations():
    overview, maps, text, mask = parts()
    torch.nn.init.normal_(overview.leave.weight)
    with torch.no_grad():
        before = overview(maps, text, mask)
        other = maps.clone()
        other[0, :, 0, 0] += 1.0  # the first view of the first observation
        moved = (overview(other, text, mask) - before).abs().amax(1)
        assert (moved[:2] > 1e-5).all() and (moved[2:] < 1e-6).all()
        padded = text.clone()
        padded[:, 3:] += 1.0
        assert torch.allclose(overview(maps, padded, mask), before, atol=1e-6)
        padded[:, 1] += torch.randn(16)
        assert ((overview(maps, padded, mask) - before).abs().amax(1) > 1e-5).all()


def test_cells_keep_their_order():
    overview, maps, text, mask = parts()
    torch.nn.init.normal_(overview.leave.weight)
    overview.layers = torch.nn.ModuleList()  # what is left is a function of each cell
    torch.nn.init.zeros_(overview.place)
    with torch.no_grad():
        added = overview(maps, text, mask) - maps
        cell = overview.leave(overview.enter(maps[3, :, 1, 2]))
    assert torch.allclose(added[3, :, 1, 2], cell, atol=1e-6)


def test_an_encoder_reads_it():
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(2, 64, 3, 10, 6, width=32, channels=8, keypoints=4, overview_layers=1))
    images = torch.randint(0, 256, (2, 2, 64, 64, 3), dtype=torch.uint8)
    text, mask = torch.randn(2, 7, 32), torch.ones(2, 7, dtype=torch.bool)
    words = torch.zeros(2, 6, dtype=torch.long)
    with torch.no_grad():
        before = encoder.feature_maps(images, torch.zeros(4, 32), text, mask, words)[0]
        torch.nn.init.normal_(encoder.overview.leave.weight)
        after = encoder.feature_maps(images, torch.zeros(4, 32), text, mask, words)[0]
    assert (before - after).abs().max() > 1e-4
    assert Encoder(EncoderConfig(2, 32, 3, 10, 6, width=32, channels=8, keypoints=4)).overview is None
