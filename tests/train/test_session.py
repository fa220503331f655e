import json
import math
import signal
import sys
from dataclasses import replace

import pytest
import torch
from made_up import config
from made_up_trainer import TinyTrainer, entries, run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from envs.spec import InputError, SimulatorError
from train.config import PretrainConfig
from train.metrics import MetricsLog
from train.rollout import RolloutResult, Rollouts
from train.session import advice, check


def points(folder, tag, purge=True):
    """(step, value) of every point that TensorBoard shows."""
    events = EventAccumulator(str(folder / "tensorboard"), purge_orphaned_data=purge)
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)] if tag in events.Tags()["scalars"] else []


class FailsAtSeven(TinyTrainer):
    """Dies in its seventh step, two after the last saved state; its losses can be told from others."""

    def losses(self, rows, rng):
        if self.step == 6:
            raise SystemExit("killed")
        loss, metrics = super().losses(rows, rng)
        return loss, {"loss": metrics["loss"] + 1000}


def test_the_log_and_tensorboard_say_the_same(tmp_path):
    settings = config(tmp_path, log_every=2, validate_every=4)
    run(settings)
    logged = entries(settings.folder)
    assert [entry["step"] for entry in logged] == [2, 4, 6]
    for name in ("loss", "gradient_norm", "learning_rate", "encoder/gradient_norm"):
        expected = [(entry["step"], pytest.approx(entry[name], rel=1e-6)) for entry in logged]
        assert points(settings.folder, f"train/{name}") == expected
    (error,) = [entry["all/error"] for entry in entries(settings.folder, "validation") if entry["step"] == 4]
    assert points(settings.folder, "validation/all/error")[0] == (4, pytest.approx(error, rel=1e-6))


def test_parts_of_the_gradient_make_up_its_norm(tmp_path):
    made = TinyTrainer(config(tmp_path, clip=1e-3))
    metrics = made.train_step()
    total = math.hypot(metrics["encoder/gradient_norm"], metrics["trunk/gradient_norm"])
    assert metrics["gradient_norm"] == pytest.approx(total, rel=1e-5)
    assert total > 0.01  # before clipping


def test_points_of_lost_steps_are_gone_after_a_resumption(tmp_path):
    settings = config(tmp_path, steps=8, save_every=4, log_every=2)
    with pytest.raises(SystemExit):
        run(settings, trainer=FailsAtSeven)
    folder = settings.folder
    assert [step for step, _ in points(folder, "train/loss")] == [2, 4, 6]
    with (folder / "metrics.jsonl").open("a") as log:
        log.write('{"step": 4, "kind": "tra')  # the last line was being written
    run(replace(settings, log_every=4))  # which logs no step 6 that could cover the old one
    shown = points(folder, "train/loss")
    assert [step for step, _ in shown] == [entry["step"] for entry in entries(folder)] == [2, 4, 8]
    assert [value > 900 for _, value in shown] == [True, True, False]
    assert [entry["loss"] > 900 for entry in entries(folder)] == [True, True, False]
    assert 6 in [step for step, _ in points(folder, "train/loss", purge=False)]


def test_a_run_that_dies_before_its_first_saved_state_leaves_no_points(tmp_path):
    settings = config(tmp_path, steps=8, save_every=8, log_every=2)
    with pytest.raises(SystemExit):
        run(settings, trainer=FailsAtSeven)
    run(replace(settings, log_every=8))
    assert [step for step, _ in points(settings.folder, "train/loss")] == [8]
    assert [entry["step"] for entry in entries(settings.folder)] == [8]


def test_without_tensorboard_the_log_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    settings = config(tmp_path)
    run(settings)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "TensorBoard" in line]
    assert "pip install -e '.[torch]'" in line
    assert [entry["step"] for entry in entries(settings.folder)] == [2, 4, 6]
    assert not (settings.folder / "tensorboard").exists()


def test_processes_that_do_not_lead_write_nothing(tmp_path):
    with MetricsLog(tmp_path, 0, writes=False) as log:
        log.add(2, "train", {"loss": 1.0})
    assert not list(tmp_path.iterdir())


def test_text_of_the_log_is_for_tensorboard_too(tmp_path):
    with MetricsLog(tmp_path, 0) as log:
        log.add(2, "rollout_error", {"error": "no display"})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (event,) = events.Tensors("rollout_error/error/text_summary")
    assert (event.step, event.tensor_proto.string_val[0]) == (2, b"no display")
    assert MetricsLog(tmp_path, 2).has(2, "rollout_error") and not MetricsLog(tmp_path, 1).has(2, "rollout_error")


def test_settings_that_began_later_than_the_run_have_their_defaults(tmp_path):
    settings = config(tmp_path, steps=4)
    run(settings)
    path = settings.folder / "config.json"
    older = json.loads(path.read_text())
    del older["crop"]
    path.write_text(json.dumps(older))
    with pytest.raises(InputError, match="crop = 0, now it is 2"):
        run(replace(settings, crop=2))
    assert run(settings).step == 4
    assert json.loads(path.read_text())["crop"] == 0


def test_rollouts_and_intervals_may_change_at_a_resumption(tmp_path):
    settings = config(tmp_path, steps=4)
    run(settings)
    run(replace(settings, rollout_every=3, rollout_episodes=5, rollout_tasks=("reach",), log_every=1))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rollout_every": -1}, "--rollout-every"),
        ({"rollout_every": 2, "rollout_tasks": ("raech",)}, "Did you mean 'reach'"),
        ({"rollout_every": 2, "rollout_episodes": 0}, "--rollout-episodes"),
        ({"rollout_every": 2, "suite": "mokc"}, "Did you mean 'mock'"),
        ({"crop": -1}, "--crop"),
        ({"save_every": 0}, "--save-every"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, changes, named):
    with pytest.raises(InputError, match=named):
        check(config(tmp_path, **changes))


@pytest.mark.parametrize("changes", [{"recolour": 1.5}, {"warp": -0.1}, {"warp": 3.0}])
def test_impossible_settings_of_pretraining_are_refused(changes):
    with pytest.raises(InputError, match="--recolour must lie between 0 and 1, --warp between 0 and 2"):
        check(PretrainConfig("mock", **changes))


def test_possible_settings_are_not_refused(tmp_path):
    check(config(tmp_path, rollout_every=2, rollout_tasks=("pick",), crop=4))
    check(config(tmp_path, rollout_tasks=("of another suite",)))  # off: nothing is played
    check(PretrainConfig("mock"))


class FakeRollouts(Rollouts):
    """Plays nothing: does what it is given."""

    def __init__(self, settings, action):
        super().__init__(settings, None)
        self._action = action
        self.played = []

    def play(self, step, show):
        self.played.append((step, (self._config.folder / "weights.pt").stat().st_mtime_ns))
        return self._action(step)


def nothing(step):
    return RolloutResult({"success": 0.5, "reach/success": 0.5}, "success 50 %")


def test_rollouts_come_when_they_are_due_and_are_logged(tmp_path, capsys):
    settings = config(tmp_path, steps=7, save_every=100, rollout_every=3)
    rollouts = FakeRollouts(settings, nothing)
    run(settings, rollouts)
    assert [step for step, _ in rollouts.played] == [3, 6, 7]
    assert len({written for _, written in rollouts.played}) == 3  # each plays weights of its own
    assert [(entry["step"], entry["success"]) for entry in entries(settings.folder, "rollout")] == [
        (3, 0.5),
        (6, 0.5),
        (7, 0.5),
    ]
    assert points(settings.folder, "rollout/success") == [(3, 0.5), (6, 0.5), (7, 0.5)]
    assert points(settings.folder, "rollout/reach/success")[0] == (3, 0.5)
    assert "step 6  success 50 %" in capsys.readouterr().out
    again = FakeRollouts(settings, nothing)
    run(settings, again)
    assert again.played == []
    off = FakeRollouts(replace(settings, rollout_every=0), nothing)
    run(replace(settings, rollout_every=0, out=tmp_path / "off"), off)
    assert off.played == []


def test_a_rollout_that_fails_does_not_end_the_training(tmp_path, capsys):
    def fail(step):
        if step == 2:
            raise SimulatorError("the display is gone")
        if step == 4:
            raise InputError("no such policy")
        return nothing(step)

    settings = config(tmp_path, steps=6, rollout_every=2)
    rollouts = FakeRollouts(settings, fail)
    assert run(settings, rollouts).step == 6
    assert [entry["error"] for entry in entries(settings.folder, "rollout_error")] == [
        "the display is gone",
        "no such policy",
    ]
    assert [entry["step"] for entry in entries(settings.folder, "rollout")] == [6]
    assert "step 2  rollout failed, training goes on: the display is gone" in capsys.readouterr().out


@pytest.mark.parametrize("when", ["before", "within", "in the last one"])
def test_an_interrupted_rollout_is_made_up_for(tmp_path, monkeypatch, when):
    """And the state of its step is saved, once the signal is there."""
    settings = config(tmp_path, steps=6, save_every=100, rollout_every=3)
    step = 6 if when == "in the last one" else 3

    def interrupted(now):
        if now == step:
            signal.raise_signal(signal.SIGINT)
            raise KeyboardInterrupt
        return nothing(now)

    class Interrupted(TinyTrainer):
        def train_step(self):
            if self.step == 2 and when == "before":
                signal.raise_signal(signal.SIGTERM)
            return super().train_step()

    rollouts = FakeRollouts(settings, interrupted)
    with pytest.raises(KeyboardInterrupt, match=f"step {step}"):
        run(settings, rollouts, trainer=Interrupted)
    assert torch.load(settings.folder / "state.pt", weights_only=True)["step"] == step
    assert step not in [entry["step"] for entry in entries(settings.folder, "rollout")]
    again = FakeRollouts(settings, nothing)
    run(settings, again)
    assert [played for played, _ in again.played] == list(range(step, 7, 3))
    assert [entry["step"] for entry in entries(settings.folder, "rollout")] == [3, 6]


def test_a_session_with_rollouts_ends_with_the_same_weights(tmp_path):
    settings = config(tmp_path)
    disturbed = replace(settings, out=tmp_path / "disturbed", rollout_every=2)

    def disturb(step):
        torch.rand(3)  # the global generator is nobody's
        return nothing(step)

    plain, other = run(settings), run(disturbed, FakeRollouts(disturbed, disturb))
    for name, tensor in plain.ema.state_dict().items():
        assert torch.equal(tensor, other.ema.state_dict()[name])


@pytest.mark.parametrize(("capability", "slow"), [("AVX2", True), ("DEFAULT", True), ("AVX512", False)])
def test_emulated_arithmetic_is_pointed_out(tmp_path, monkeypatch, capsys, capability, slow):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    run(config(tmp_path, precision="bfloat16"))
    assert ("--precision float32" in capsys.readouterr().out) == slow
    assert advice(config(tmp_path, precision="float32")) is None
    assert advice(config(tmp_path, precision="bfloat16", device="cuda")) is None
