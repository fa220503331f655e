"""The colour that the instruction asks for is found in the views."""

import torch

from envs.rlbench.palette import PALETTE
from model.colours import SHARPNESS, NamedColours, SoughtColours
from model.encoder import Encoder, EncoderConfig


def patches(colours: torch.Tensor) -> torch.Tensor:
    """Patches of 4 x 4 pixels of one colour each (RGB, 0 .. 1), as the encoder scales them."""
    return (255 * colours / 64 - 2).repeat(1, 1, 16)


def test_the_nearest_colour_matches_best():
    torch.manual_seed(0)
    sought = SoughtColours(8, 3)
    with torch.no_grad():
        sought.ask.weight.zero_()
        asked = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.5, 0.5, 0.5]])
        sought.ask.bias.copy_(torch.cat([(255 * asked / 64 - 2) / 2, torch.zeros(3, 1)], dim=1).flatten())
        found = sought(patches(asked[None]), torch.zeros(1, 8))[0]
    assert torch.allclose(found.diagonal(), torch.zeros(3), atol=1e-3) and (found.argmax(0) == torch.arange(3)).all()
    assert (found < -0.3).sum() == 6


def test_colours_of_words_are_learned_from_a_few_examples():
    """Which of two patches has the colour of the word? Told for twenty words, a few dozen times each."""
    torch.manual_seed(0)
    colours = torch.tensor(list(PALETTE.values()))
    word, sought = torch.nn.Embedding(len(colours), 16), SoughtColours(16, 1)
    optimizer = torch.optim.Adam([*word.parameters(), *sought.parameters()], 0.01)
    hits = []
    for _ in range(100):
        asked = torch.randint(len(colours), (64,))
        other = (asked + torch.randint(1, len(colours), (64,))) % len(colours)
        match = sought(patches(torch.stack([colours[asked], colours[other]], dim=1)), word(asked))[..., 0]
        loss = torch.nn.functional.cross_entropy(match, torch.zeros(64, dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        hits.append((match[:, 0] > match[:, 1]).float().mean().item())
    assert sum(hits[:5]) / 5 < 0.8 and sum(hits[-20:]) / 20 > 0.97


def test_an_encoder_reads_them():
    torch.manual_seed(0)
    config = EncoderConfig(2, 32, 3, 10, 6, width=32, channels=8, keypoints=4, colours=3)
    encoder = Encoder(config)
    images = torch.randint(0, 256, (2, 2, 32, 32, 3), dtype=torch.uint8)
    condition = torch.randn(4, 32)
    text, mask = torch.randn(2, 7, 32), torch.ones(2, 7, dtype=torch.bool)
    words = torch.zeros(2, 6, dtype=torch.long)
    with torch.no_grad():
        before = encoder.feature_maps(images, condition, text, mask, words)[0]
        encoder.sought.ask.bias += 1.0
        after = encoder.feature_maps(images, condition, text, mask, words)[0]
    assert (before - after).abs().max() > 1e-4
    assert Encoder(EncoderConfig(2, 32, 3, 10, 6, width=32, channels=8, keypoints=4)).sought is None


def named():
    torch.manual_seed(0)
    made = NamedColours(8, 6)
    made.lexicon[2] = torch.tensor([1.0, -1.0, -1.0, 1.0])
    made.lexicon[3] = torch.tensor([-1.0, 1.0, -1.0, 1.0])
    return made


def test_the_named_colour_matches_best_in_every_view_and_none_where_none_is_named():
    red, green, gray = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.5, 0.5, 0.5)
    views = patches(torch.tensor([red, green, gray])[None]).repeat(4, 1, 1)  # two observations, two views each
    text, mask = torch.randn(2, 4, 8), torch.tensor([[True, True, True, False]] * 2)
    near = named()(views, text, mask, torch.tensor([[4, 2, 3], [4, 5, 2]]))  # the last word is padding
    assert near.shape == (4, 3, len(SHARPNESS))
    assert torch.allclose(near[:2, 0], torch.zeros(2, len(SHARPNESS)), atol=1e-3)
    assert (near[:2, 1:] < -0.5).all() and (near[:2, 1:].diff(dim=-1) < 0).all()
    assert (near[2:] == near[2, 0, 0]).all() and near[2, 0, 0] < -1


def test_attention_says_which_of_several_named_colours_it_is():
    made = named()
    views = patches(torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]))
    text, mask = torch.randn(1, 3, 8), torch.ones(1, 3, dtype=torch.bool)
    with torch.no_grad():
        for part in (made.query, made.key):
            part.weight.copy_(20 * torch.eye(8))
            part.bias.zero_()
        for word in (1, 2):
            text[:, 0] = text[:, word]
            near = made(views, text, mask, torch.tensor([[2, 3]]))[0, :, 0]
            assert near.argmax() == word - 1 and near.max() > -1e-3


def test_an_encoder_reads_named_colours():
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(2, 32, 3, 10, 6, width=32, channels=8, keypoints=4, names=True))
    encoder.named.lexicon[2] = torch.tensor([1.0, -1.0, -1.0, 1.0])
    images = torch.randint(0, 256, (2, 2, 32, 32, 3), dtype=torch.uint8)
    text, mask = torch.randn(2, 7, 32), torch.ones(2, 7, dtype=torch.bool)
    with torch.no_grad():
        found = [
            encoder.feature_maps(images, torch.zeros(4, 32), text, mask, torch.full((2, 6), word))[0] for word in (2, 3)
        ]
    assert (found[0] - found[1]).abs().max() > 1e-4
