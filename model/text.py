"""Instructions as word numbers: a word-level vocabulary learned from the training sentences."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

PADDING, UNKNOWN = 0, 1
_WORD = re.compile(r"[a-z0-9]+")


def words_of(sentence: str) -> list[str]:
    """The lower-case words of a sentence; punctuation is dropped."""
    return _WORD.findall(sentence.lower())


@dataclass(frozen=True)
class Vocabulary:
    """Word numbers: 0 pads, 1 stands for any unknown word, `words[k]` has number k + 2.

    Attributes:
        words: Known words, sorted.
        max_words: Words of a sentence that are read; the rest is cut off.
    """

    words: tuple[str, ...]
    max_words: int

    @classmethod
    def learn(cls, sentences: Iterable[str]) -> "Vocabulary":
        """Collects the words of the training sentences; the longest of them sets `max_words` (with some room)."""
        split = [words_of(sentence) for sentence in set(sentences)]
        longest = max((len(words) for words in split), default=0)
        return cls(tuple(sorted({word for words in split for word in words})), longest + 4)

    def __len__(self) -> int:
        return len(self.words) + 2

    def encode(self, sentences: Iterable[str]) -> Int64[np.ndarray, "n max_words"]:
        """Word numbers of sentences, padded with zeros on the right."""
        number = {word: index + 2 for index, word in enumerate(self.words)}
        rows = [[number.get(word, UNKNOWN) for word in words_of(s)][: self.max_words] for s in sentences]
        encoded = np.full((len(rows), self.max_words), PADDING, dtype=np.int64)
        for row, numbers in enumerate(rows):
            encoded[row, : len(numbers)] = numbers
        return encoded
