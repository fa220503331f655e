"""Policies that run a network: everything but where it comes from, and the name of the objective, is shared."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from envs.spec import InputError, Observation, TaskSpec
from model.actions import EMBODIMENTS
from model.anchor import from_offsets
from model.cameras import TIP_POSE, CameraModel
from model.checkpoint import CheckpointFacts
from model.encoder import EncoderConfig
from model.network import Network, parameter_count
from model.objectives import load_objective
from model.observation import ObservationBatch
from model.qwen.config import DTYPES, QwenConfig
from model.qwen.encoder import QwenEncoder, merge
from model.trunk import Trunk
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec

# Degrees, metres, and entries of quaternions: more than rounding on another machine, less than a pixel.
_CALIBRATION_TOLERANCE = 1e-4


class NetworkPolicy(Policy):
    """A network in memory. One sample a call, its noise from the episode's seed.

    Args:
        facts: What the network is for.
        network: The network; the policy moves and converts it.
        device: Torch device.
        nfe: Forward passes of a sample; the objective's own number when left out.
        sha256: Hash of the weights file; None for weights that are in none.
        dtype: What trunk and small encoder compute in. With bfloat16 all but the trunk's last layers is autocast, as
            in training. Left out: what a Qwen3-VL encoder's frozen weights are in, else float32.

    Raises:
        InputError: The device does not exist, or the objective cannot sample in that many passes.
    """

    def __init__(
        self,
        facts: CheckpointFacts,
        network: Network,
        device: str = "cpu",
        nfe: int | None = None,
        sha256: str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._facts = facts
        encoder = facts.network.encoder
        self._small = encoder if isinstance(encoder, EncoderConfig) else None
        self._dtype = dtype or (DTYPES[encoder.dtype] if isinstance(encoder, QwenConfig) else torch.float32)
        try:
            self._device = torch.device(device)
            self._network = network.to(self._device).eval()
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"device {device!r} cannot be used ({error}). Try cpu.") from error
        if isinstance(network.encoder, QwenEncoder):
            merge(network.encoder)
        if self._dtype != torch.float32:
            _store(self._network.trunk, self._dtype)
        self._objective = load_objective(facts.objective, **facts.options)
        own = self._objective.nfe
        if nfe is not None:
            self._objective = self._objective.with_nfe(nfe)
        self._mask = torch.from_numpy(facts.normalizer.mask).to(self._device)
        self._rng = torch.Generator().manual_seed(0)
        self._entries = list(range(len(facts.proprioception)))
        # The end effector's pose places the wrist camera; without calibrated cameras nothing reads it.
        self._pose = TIP_POSE if self._cameras else ()
        self._tip: list[int] = []
        self.spec = PolicySpec(facts.convention, facts.network.trunk.horizon, facts.cameras)
        # Another sampler is another row of a table.
        name = facts.objective if self._objective.nfe == own else f"{facts.objective}-{self._objective.nfe}"
        self.info = PolicyInfo(name, facts.objective, self._objective.nfe, parameter_count(self._network), sha256)

    @property
    def network(self) -> Network:
        """The network, where it runs."""
        return self._network

    @property
    def sampler(self) -> str:
        """How a chunk is sampled, for tables."""
        return self._objective.sampler

    @property
    def _cameras(self) -> tuple[CameraModel, ...]:
        """The calibration that the network relies on; none in a Qwen3-VL encoder, which takes any view."""
        return self._small.cameras if self._small else ()

    def reset(self, task: TaskSpec, seed: int) -> None:
        """See `Policy.reset`.

        Raises:
            InputError: The task's proprioception, image size or camera calibration is not what the network was trained
                on. A Qwen3-VL encoder reads no proprioception, resizes its views and knows no calibration; its views
                must have one size.
        """
        if self._small:
            self._check_proprioception(task)
            self._check_size(task, self._small.image_size)
            self._check_calibration(task)
            self._entries = [task.proprioception.index(name) for name in self._facts.proprioception]
            self._tip = [task.proprioception.index(name) for name in self._pose]
        else:
            self._check_one_size(task)
        self._rng.manual_seed(seed)

    def _check_proprioception(self, task: TaskSpec) -> None:
        needed = dict.fromkeys((*self._facts.proprioception, *self._pose))
        missing = [name for name in needed if name not in task.proprioception]
        if missing:
            raise InputError(
                f"policy {self.info.name!r} reads proprioception {', '.join(missing)}, which task "
                f"{task.suite}/{task.task} does not have. Use a policy trained for this suite."
            )

    def _check_size(self, task: TaskSpec, size: int) -> None:
        for camera in task.cameras:
            if camera.name in self._facts.cameras and (camera.height, camera.width) != (size, size):
                raise InputError(
                    f"policy {self.info.name!r} was trained on {size} x {size} views, camera {camera.name} of task "
                    f"{task.suite}/{task.task} has {camera.height} x {camera.width}. Use a policy trained for it."
                )

    def _check_one_size(self, task: TaskSpec) -> None:
        views = [camera for camera in task.cameras if camera.name in self._facts.cameras]
        if len({(camera.height, camera.width) for camera in views}) > 1:
            sizes = ", ".join(f"{camera.name} {camera.height} x {camera.width}" for camera in views)
            raise InputError(
                f"policy {self.info.name!r} takes views of one size, those of task {task.suite}/{task.task} differ "
                f"({sizes}). Give them one size in the suite."
            )

    def _check_calibration(self, task: TaskSpec) -> None:
        """Raises InputError for a camera that is not where it was in training."""
        views = {camera.name: camera for camera in task.cameras}
        # A network without calibration (no cameras in its sizes) does not mind where they are.
        for name, known in zip(self._facts.cameras, self._cameras, strict=False):
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
        facts, network = self._facts, self._network
        spans: dict[str, float] = {}
        with self._span(spans, "preprocess"):
            batch = self.batch(obs)
            embodiment = torch.tensor([EMBODIMENTS[facts.convention.embodiment].id], device=self._device)
        with self._span(spans, "backbone"):
            # A Qwen3-VL encoder is in its own dtype already.
            with self._autocast(self._small is not None):
                encoded = network.encoder(batch)
            with self._autocast():
                tokens = encoded.tokens if self._dtype != torch.float32 else encoded.tokens.float()
                context = network.trunk.prepare(tokens, encoded.mask, embodiment)
        with self._span(spans, "head"), self._autocast():
            chunk = self._objective.sample(network.trunk, context, 1, self._rng, mask=self._mask)[:, 0]
        with self._span(spans, "postprocess"):
            internal = from_offsets(chunk.float(), encoded.anchor, facts.normalizer)[0]
            actions = facts.normalizer.to_action(internal.cpu().numpy())
        return ActionChunk(actions, spans)

    def batch(self, obs: Observation) -> ObservationBatch:
        """An observation as the encoder takes it, on the policy's device."""
        facts, device = self._facts, self._device
        views = [obs["images"][name] for name in facts.cameras]
        images = np.stack(views) if views else np.zeros((0, 0, 0, 3), np.uint8)
        words = torch.from_numpy(facts.vocabulary.encode([obs["instruction"]]))
        state = torch.zeros(0)
        if self._small:
            state = torch.from_numpy(facts.normalizer.proprioception(obs["proprioception"][self._entries]))
        tip = torch.from_numpy(obs["proprioception"][self._tip]) if self._pose else torch.zeros(len(TIP_POSE))
        images_on_device = torch.from_numpy(images)[None].to(device)
        return ObservationBatch(images_on_device, state[None].to(device), words.to(device), tip[None].to(device))

    def _autocast(self, wanted: bool = True) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=wanted and self._dtype == torch.bfloat16)

    @contextmanager
    def _span(self, spans: dict[str, float], name: str) -> Iterator[None]:
        self.synchronize()
        began = time.perf_counter()
        yield
        self.synchronize()
        spans[name] = time.perf_counter() - began

    def synchronize(self) -> None:
        """Waits until the device has done what it was asked to."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _store(trunk: Trunk, dtype: torch.dtype) -> None:
    """Keeps the weights in the dtype that autocast would convert them to in every call: the same numbers, less work.

    The last layers are not autocast, and stay.
    """
    last = set(trunk.head.modules())
    for module in trunk.modules():
        if isinstance(module, nn.Linear) and module not in last:
            module.to(dtype)
