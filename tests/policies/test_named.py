import pytest

from envs.spec import InputError
from policies.named import NamedPolicy, read_policy


@pytest.mark.parametrize(
    ("word", "named", "label"),
    [
        ("drifting", ("drifting", None, None), "drifting"),
        ("flow:1", ("flow", 1, None), "flow-1"),
        ("flow=runs/a=b/w.safetensors", ("flow", None, "runs/a=b/w.safetensors"), "flow"),
        ("flow:1=w:2", ("flow", 1, "w:2"), "flow-1"),
        ("my_pkg.mine:Mine", ("my_pkg.mine:Mine", None, None), "my_pkg.mine:Mine"),
        ("my_pkg.mine:Mine:4=w", ("my_pkg.mine:Mine", 4, "w"), "my_pkg.mine:Mine-4"),
        ("flow=", ("flow", None, None), "flow"),
    ],
)
def test_a_word_is_taken_apart(word, named, label):
    assert read_policy(word) == NamedPolicy(*named)
    assert read_policy(word).label == label


@pytest.mark.parametrize("word", ["flov:1=w", "=w", ":3", "flow:"])
def test_what_names_no_policy_is_refused(word):
    with pytest.raises(InputError, match="unknown policy"):
        read_policy(word)
