"""What an encoder gets beyond an earlier one."""

import torch

from model.text import Vocabulary
from train.growth import grown, lexicon


def test_words_that_name_colours_are_in_the_lexicon():
    known = lexicon(Vocabulary(("red", "ring", "teal"), 4))
    assert known.tolist() == [[0] * 4, [0] * 4, [1, -1, -1, 1], [0] * 4, [-1, 0, 0, 1]]


def test_what_is_new_starts_fresh_and_what_is_wider_ignores_the_rest():
    fresh = {"a": torch.ones(2, 5), "b": torch.ones(3), "new": torch.full((2,), 7.0)}
    result = grown(fresh, {"a": torch.full((2, 3), 2.0), "b": torch.full((3,), 4.0)})
    assert result["a"].tolist() == [[2, 2, 2, 0, 0]] * 2
    assert result["b"].tolist() == [4] * 3 and result["new"].tolist() == [7] * 2
