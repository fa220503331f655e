"""Colours change in the views and in the sentence alike, or not at all."""

import torch

from envs.rlbench.palette import PALETTE
from model.observation import ObservationBatch
from model.text import Vocabulary
from train.data import Batch
from train.recolour import Recolouring

SENTENCES = [f"close the {name} jar" for name in PALETTE]
VOCABULARY = Vocabulary.learn([*SENTENCES, "take the soup", "stack the cup on one"])


def batch(sentences: list[str]) -> Batch:
    """Views filled with the first colour that each sentence names."""
    images = torch.zeros(len(sentences), 2, 4, 4, 3, dtype=torch.uint8)
    for row, sentence in enumerate(sentences):
        for word in sentence.split():
            if word in PALETTE:
                images[row] = (255 * torch.tensor(PALETTE[word])).to(torch.uint8)
    words = torch.from_numpy(VOCABULARY.encode(sentences))
    none = torch.zeros(len(sentences), 7)
    seen = ObservationBatch(images, none, words, none)
    return Batch(seen, none[:, 0].long(), none[:, None, None], none[:, None] > 0, None)


def spoken(words: torch.Tensor) -> str:
    return " ".join(VOCABULARY.words[k - 2] for k in words.tolist() if k > 1)


def test_the_word_names_what_is_seen():
    before = batch(SENTENCES * 8)
    after = Recolouring(VOCABULARY)(before, 1.0, torch.Generator().manual_seed(0)).observations
    changed = 0
    for row in range(len(after.images)):
        name = spoken(after.words[row]).split()[2]
        assert spoken(after.words[row]) == f"close the {name} jar"
        assert torch.equal(after.images[row, 1, 2, 3], (255 * torch.tensor(PALETTE[name])).to(torch.uint8))
        changed += name != SENTENCES[row % 20].split()[2]
    assert changed > 80  # of 160, in which grey tones and some mixed colours have to stay
    assert not torch.equal(before.observations.images, after.images)


def test_what_names_no_colour_keeps_them():
    for sentences in (["take the soup"] * 20, ["stack the cup on one"] * 20):
        before = batch(sentences)
        before.observations.images[..., 0] = 200
        after = Recolouring(VOCABULARY)(before, 1.0, torch.Generator().manual_seed(0)).observations
        assert torch.equal(after.images, before.observations.images)
        assert torch.equal(after.words, before.observations.words)


def test_the_share_is_kept():
    before = batch(["close the red jar"] * 400)
    counts = []
    for share in (0.0, 0.5, 1.0):
        after = Recolouring(VOCABULARY)(before, share, torch.Generator().manual_seed(1)).observations
        counts.append((after.images != before.observations.images).flatten(1).any(1).sum().item())
    assert counts[0] == 0 and 100 < counts[1] < 220 and counts[1] < counts[2]


def test_a_colour_without_a_name_afterwards_is_left():
    """Orange has five neighbours, of which not all have names."""
    after = Recolouring(VOCABULARY)(batch(["close the orange jar"] * 200), 1.0, torch.Generator().manual_seed(0))
    names = {spoken(row).split()[2] for row in after.observations.words}
    assert names == {"orange", "rose", "azure", "violet"}
