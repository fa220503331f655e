import pytest

import policies.registry as registry
from envs.spec import InputError
from policies.base import Policy, PolicyInfo, PolicySpec
from policies.registry import find_policy, make_policy, policy_target


class Mine(Policy):
    spec = PolicySpec(None, 1)
    info = PolicyInfo("mine")

    def __init__(self, checkpoint=None, device="nowhere"):
        self.checkpoint, self.device = checkpoint, device

    def reset(self, task, seed):
        pass

    def act(self, obs):
        raise NotImplementedError


@pytest.fixture
def mine(monkeypatch):
    monkeypatch.setattr(registry, "BUILT_IN", registry.BUILT_IN | {"mine": f"{__name__}:Mine"})


@pytest.mark.parametrize("name", ["zero", "random", "expert"])
def test_built_in_policies_are_found(name):
    assert make_policy(name).info.name == name


def test_arguments_go_to_constructors_that_take_them(mine):
    policy = make_policy("mine", checkpoint="weights", device="cuda")
    assert (policy.checkpoint, policy.device) == ("weights", "cuda")
    with pytest.raises(InputError, match="takes no checkpoint"):
        make_policy("zero", checkpoint="weights")


def test_a_policy_is_found_by_module_and_class(tmp_path, monkeypatch):
    (tmp_path / "their_policy.py").write_text("from policies.zero import ZeroPolicy as Theirs\nnumber = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert make_policy("their_policy:Theirs").info.name == "zero"
    with pytest.raises(InputError, match="Did you mean 'Theirs'"):
        find_policy("their_policy:Their")
    with pytest.raises(InputError, match="no class"):
        find_policy("their_policy:number")
    with pytest.raises(InputError, match="not a policy"):
        make_policy("collections:Counter")


def test_entry_points_are_offered(monkeypatch):
    class Entry:
        name, value = "theirs", f"{__name__}:Mine"

    monkeypatch.setattr(registry, "entry_points", lambda group: [Entry] if group == "drifting_vla.policies" else [])
    assert isinstance(make_policy("theirs"), Mine)


def test_a_missing_package_is_named_with_its_remedy(tmp_path, monkeypatch):
    (tmp_path / "needs_torch.py").write_text("raise ModuleNotFoundError('no', name='torch')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"needs the package 'torch': pip install -e '\.\[torch\]'"):
        find_policy("needs_torch:Policy")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("randon", "Did you mean 'random'"),
        ("nonsense", "Known: .*zero"),
        ("ws://host:1", "not available yet"),
        ("zero:", "unknown policy"),
    ],
)
def test_unknown_names_are_refused_without_an_import(name, message):
    with pytest.raises(InputError, match=message):
        policy_target(name)


def test_an_unknown_module_is_refused():
    with pytest.raises(InputError, match="no module 'no_such_module'"):
        find_policy("no_such_module.policy:Policy")


def test_a_literal_name_equals_its_target():
    assert policy_target("zero") == policy_target("policies.zero:ZeroPolicy")
