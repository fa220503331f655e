"""Instructions as tokens of the Qwen tokenizer, and the chat around them.

Shapes: n sentences, W = `max_words` tokens.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int64

from envs.spec import InputError
from model.qwen.config import QwenConfig
from model.qwen.files import TOKENIZER, model_folder, packages, remedy
from model.text import PADDING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Prompt(NamedTuple):
    """Token numbers around views and instruction: those of one user message that holds the views, then the text.

    Attributes:
        prefix: Before the first view.
        view_start: Before a view.
        view: A place that a visual token takes.
        view_end: After a view.
        suffix: After the instruction, up to where the answer would begin.
    """

    prefix: tuple[int, ...]
    view_start: int
    view: int
    view_end: int
    suffix: tuple[int, ...]


# As Qwen3-VL's own tokenizer numbers them.
QWEN_PROMPT = Prompt((151644, 872, 198), 151652, 151655, 151653, (151645, 198, 151644, 77091, 198))


@dataclass(frozen=True)
class QwenTokens:
    """Takes the place of `model.text.Vocabulary`. Number 0 pads, token k of the tokenizer has number k + 1.

    Attributes:
        model: Folder or hub name of the model.
        revision: Branch, tag or commit on the hub.
        max_words: Tokens of an instruction that are read; the rest is cut off.
    """

    model: str
    revision: str
    max_words: int

    @classmethod
    def load(cls, config: QwenConfig) -> "QwenTokens":
        """The tokens of a backbone; reads the tokenizer at once.

        Raises:
            InputError: See `tokenizer`.
        """
        tokens = cls(config.model, config.revision, config.max_words)
        assert tokens.tokenizer
        return tokens

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """The model's tokenizer.

        Raises:
            InputError: The packages are not installed, or there is no such model, or it holds no readable tokenizer.
        """
        packages()
        from tokenizers import Tokenizer

        path = model_folder(self.model, self.revision, TOKENIZER) / "tokenizer.json"
        if not path.is_file():
            raise InputError(f"{path.parent} holds no tokenizer.json. {remedy(self.model, self.revision)}")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the tokenizers package raises nothing narrower
            raise InputError(f"{path} is not a tokenizer ({error}). {remedy(self.model, self.revision)}") from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        # An instruction is text, also where it spells a control token such as <|image_pad|>.
        tokenizer.encode_special_tokens = True
        return tokenizer

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size(with_added_tokens=True) + 1

    def encode(self, sentences: Iterable[str]) -> Int64[np.ndarray, "n W"]:
        """Token numbers of sentences, padded with zeros on the right."""
        rows = [self._ids(sentence.strip())[: self.max_words] for sentence in sentences]
        encoded = np.full((len(rows), self.max_words), PADDING, dtype=np.int64)
        for row, ids in enumerate(rows):
            encoded[row, : len(ids)] = np.asarray(ids, dtype=np.int64) + 1
        return encoded

    def prompt(self) -> Prompt:
        """The chat around views and instruction.

        Raises:
            InputError: The tokenizer lacks one of Qwen's control tokens.
        """
        names = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|image_pad|>", "<|vision_end|>")
        found = {name: self.tokenizer.token_to_id(name) for name in names}
        ids = {name: number for name, number in found.items() if number is not None}
        missing = [name for name in names if name not in ids]
        if missing:
            raise InputError(
                f"the tokenizer of {self.model} lacks {', '.join(missing)}: it is not Qwen3-VL's. "
                f"{remedy(self.model, self.revision)}"
            )
        start, end, view_start, view, view_end = (ids[name] for name in names)
        line = self._ids("\n")
        prefix = (start, *self._ids("user"), *line)
        return Prompt(prefix, view_start, view, view_end, (end, *line, start, *self._ids("assistant"), *line))

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids
