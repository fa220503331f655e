"""What a person sees of a training run: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_LINE_EVERY_S = 10.0


class TrainProgress:
    """Progress of a training run.

    Args:
        step: Steps already done.
        steps: Steps of the run.
        parameters: Parameters of the network.
        frames: Training observations.
        shown: Show anything.
    """

    def __init__(self, step: int, steps: int, parameters: int, frames: int, shown: bool = True) -> None:
        self._steps = steps
        self._first: tuple[int, float] | None = None  # a step that was done, and when; the first one prepares much
        self._last_line = time.monotonic()
        self._shown = ""
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True, quiet=not shown)
        resumed = f", from step {step}" if step else ""
        self._console.print(f"training {parameters / 1e6:.2f} M parameters on {frames} frames, {steps} steps{resumed}")
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[rate]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=steps, completed=step, rate="")

    def __enter__(self) -> "TrainProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, step: int) -> None:
        """Shows the steps done, their rate and the time left."""
        now = time.monotonic()
        first, began = self._first = self._first or (step, now)
        rate = (step - first) / max(now - began, 1e-9)
        text = f"{rate:.2f} steps/s, {(self._steps - step) / rate / 60:.0f} min left" if rate else ""
        self._bar.update(self._task, completed=step, rate=text)
        if not self._console.is_terminal and (now - self._last_line > _LINE_EVERY_S or step == self._steps):
            self._last_line = now
            self._console.print(f"step {step}/{self._steps}  {text}  {self._shown}", markup=False)

    def metrics(self, step: int, entry: dict[str, float]) -> None:
        """Takes the newest averages; the loss of drifting says nothing, so errors come first."""
        names = ("best_mse", "centroid_mse", "spread", "refined_cm", "probe", "pointer", "loss", "gradient_norm")
        self._shown = "  ".join(f"{name} {entry[name]:.4g}" for name in names if name in entry)
        self._bar.update(self._task, description=f"train  {self._shown}")

    def validation(self, step: int, errors: dict[str, float]) -> None:
        """Prints the errors of each task."""
        for task in dict.fromkeys(name.split("/")[0] for name in errors):
            text = ""
            if f"{task}/error" in errors:
                text = f"error {errors[f'{task}/error']:.3f} standard deviations"
            elif f"{task}/position_cm" in errors:
                text = (
                    f"position {errors[f'{task}/position_cm']:.2f} cm, "
                    f"within 1 cm {100 * errors[f'{task}/within_1cm']:.0f} %, "
                    f"rotation {errors[f'{task}/rotation_deg']:.1f} degrees, "
                    f"within 10 degrees {100 * errors[f'{task}/within_10deg']:.0f} %, "
                    f"gripper {100 * errors[f'{task}/gripper']:.0f} %"
                )
            if f"{task}/found" in errors:
                text += f"{', ' if text else ''}found within 4 cm {100 * errors[f'{task}/found']:.0f} %"
            self._console.print(f"step {step}  {task}: {text}", markup=False)

    def aside(self, text: str) -> None:
        """Says what goes on while no step is made."""
        now = time.monotonic()
        self._bar.update(self._task, description=f"train  {text}")
        if not self._console.is_terminal and now - self._last_line > _LINE_EVERY_S:
            self._last_line = now
            self._console.print(text, markup=False)

    def note(self, text: str) -> None:
        """Prints a line; what was said with `aside` is over."""
        self._bar.update(self._task, description=f"train  {self._shown}")
        self._console.print(text, markup=False)
