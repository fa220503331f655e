"""Policies that run a checkpoint: everything but the name of the objective is shared."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from envs.spec import InputError, Observation, TaskSpec
from model.actions import EMBODIMENTS
from model.anchor import from_offsets
from model.cameras import TIP_POSE
from model.checkpoint import load_checkpoint
from model.encoder import ObservationBatch
from model.network import parameter_count
from model.objectives import load_objective
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec

# Degrees, metres, and entries of quaternions: more than rounding on another machine, less than a pixel.
_CALIBRATION_TOLERANCE = 1e-4


class TrainedPolicy(Policy):
    """A network from a checkpoint. One sample a call, its noise from the episode's seed.

    Args:
        checkpoint: Path of the weights; `default_checkpoint` when left out.
        device: Torch device.
        nfe: Forward passes of a sample; the objective's own number when left out.

    Raises:
        InputError: The checkpoint is missing or does not fit, the device does not exist, or the objective cannot sample
            in that many passes.
    """

    objective: ClassVar[str]
    default_checkpoint: ClassVar[Path]

    def __init__(self, checkpoint: str | None = None, device: str = "cpu", nfe: int | None = None) -> None:
        path = Path(checkpoint) if checkpoint else self.default_checkpoint
        if not path.is_file():
            raise InputError(
                f"there is no checkpoint {path}. Train one with `python -m train.run --suite rlbench18 --objective "
                f"{self.objective}`, then give its checkpoint.safetensors as --checkpoint."
            )
        loaded = load_checkpoint(path, self.objective)
        self._facts = loaded.facts
        try:
            self._device = torch.device(device)
            self._network = loaded.network.to(self._device)
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"device {device!r} cannot be used ({error}). Try cpu.") from error
        self._objective = load_objective(self.objective, **loaded.facts.options)
        own = self._objective.nfe
        if nfe is not None:
            self._objective = self._objective.with_nfe(nfe)
        self._mask = torch.from_numpy(loaded.facts.normalizer.mask).to(self._device)
        self._rng = torch.Generator().manual_seed(0)
        self._entries = list(range(len(loaded.facts.proprioception)))
        self._tip = [loaded.facts.proprioception.index(name) for name in TIP_POSE]
        self.spec = PolicySpec(loaded.facts.convention, loaded.facts.network.trunk.horizon, loaded.facts.cameras)
        # Another sampler is another row of a table.
        name = self.objective if self._objective.nfe == own else f"{self.objective}-{self._objective.nfe}"
        self.info = PolicyInfo(name, self.objective, self._objective.nfe, parameter_count(self._network), loaded.sha256)

    def reset(self, task: TaskSpec, seed: int) -> None:
        """See `Policy.reset`.

        Raises:
            InputError: The task's proprioception, image size or camera calibration is not what the network was trained
                on.
        """
        facts = self._facts
        missing = [name for name in facts.proprioception if name not in task.proprioception]
        if missing:
            raise InputError(
                f"policy {self.info.name!r} reads proprioception {', '.join(missing)}, which task "
                f"{task.suite}/{task.task} does not have. Use a policy trained for this suite."
            )
        size = facts.network.encoder.image_size
        for camera in task.cameras:
            if camera.name in facts.cameras and (camera.height, camera.width) != (size, size):
                raise InputError(
                    f"policy {self.info.name!r} was trained on {size} x {size} views, camera {camera.name} of task "
                    f"{task.suite}/{task.task} has {camera.height} x {camera.width}. Use a policy trained for it."
                )
        self._check_calibration(task)
        self._entries = [task.proprioception.index(name) for name in facts.proprioception]
        self._tip = [task.proprioception.index(name) for name in TIP_POSE]
        self._rng.manual_seed(seed)

    def _check_calibration(self, task: TaskSpec) -> None:
        """Raises InputError for a camera that is not where it was in training."""
        views = {camera.name: camera for camera in task.cameras}
        # A network without calibration (no cameras in its sizes) does not mind where they are.
        for name, known in zip(self._facts.cameras, self._facts.network.encoder.cameras, strict=False):
            view = views[name]
            here = (view.fov or 0.0, *view.position, *view.quaternion)
            there = (known.fov, *known.position, *known.quaternion)
            if view.mount != known.mount or not np.allclose(here, there, atol=_CALIBRATION_TOLERANCE):
                raise InputError(
                    f"camera {name} of task {task.suite}/{task.task} is not where policy {self.info.name!r} learned "
                    f"it: trained with {known}, now {view}. Use a policy trained for this suite."
                )

    @torch.inference_mode()
    def act(self, obs: Observation) -> ActionChunk:
        """See `Policy.act`. Spans: preprocess, backbone (encoder and context), head, postprocess."""
        facts = self._facts
        spans: dict[str, float] = {}
        with self._span(spans, "preprocess"):
            images = np.stack([obs["images"][name] for name in facts.cameras])
            state = facts.normalizer.proprioception(obs["proprioception"][self._entries])
            words = facts.vocabulary.encode([obs["instruction"]])
            batch = ObservationBatch(
                torch.from_numpy(images)[None].to(self._device),
                torch.from_numpy(state)[None].to(self._device),
                torch.from_numpy(words).to(self._device),
                torch.from_numpy(obs["proprioception"][self._tip])[None].to(self._device),
            )
            embodiment = torch.tensor([EMBODIMENTS[facts.convention.embodiment].id], device=self._device)
        with self._span(spans, "backbone"):
            context, encoded = self._network.encode_and_point(batch, embodiment)
        with self._span(spans, "head"):
            chunk = self._objective.sample(self._network.trunk, context, 1, self._rng, mask=self._mask)[:, 0]
        with self._span(spans, "postprocess"):
            internal = from_offsets(chunk.float(), encoded.anchor, facts.normalizer)[0]
            actions = facts.normalizer.to_action(internal.cpu().numpy())
        return ActionChunk(actions, spans)

    @contextmanager
    def _span(self, spans: dict[str, float], name: str) -> Iterator[None]:
        self._synchronize()
        began = time.perf_counter()
        yield
        self._synchronize()
        spans[name] = time.perf_counter() - began

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
