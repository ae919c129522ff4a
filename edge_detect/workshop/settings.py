"""Settings: what a training run is made with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_detect.errors import ConfigError

QUANTIZED = ("int8", "int4", "ternary", "binary")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is made with; it stands in the run's folder as `settings.json`.

    Attributes:
        data: Data sets to learn from, `FILE[=PICTURES]`; several are separated by commas.
        validation: Data sets to choose the best state by, likewise.
        classes: Names to learn, separated by commas; all that the sets have by default.
        size: Input of the net, `SIDE` or `WIDTHxHEIGHT`, divisible by 32.
        alpha: Width multiplier, 0.35 to 1.0.
        anchors: Anchors of a cell.
        weights: What to begin with: a MobileNetV2 `.weights.h5` without top, a run, or a `.tflite` that this
            workshop wrote; nothing by default.
        epochs: Times that every picture is seen.
        batch: Pictures in a step.
        rate: Highest learning rate.
        warmup: Share of the steps in which the rate grows.
        decay: Weight decay of the kernels.
        average: Memory of the averaged weights (EMA), 0 to 1; 0 averages nothing.
        frozen: Everything before this block of the backbone stays as it is; 0 to 17.
        remember: With the front frozen: variations of each picture of which the front's answers are
            kept in memory, so that it runs once for each; 0 shows every picture anew in every epoch.
        frozen_norms: Whether the backbone's batch normalization keeps its statistics.
        class_loss: `focal`, `quality` (focal, the wanted score being the IoU of the box) or `hard-negatives`.
        box_loss: `smooth-l1` or `giou`.
        box_weight: Factor of the box loss.
        mosaics: Share of pictures made of four.
        balance: Share of pictures below which those of a class are shown more often; 0 shows all alike.
        precision: `float32`, `mixed_bfloat16` or `mixed_float16`.
        teacher: A detector `.tflite` or a run whose answers are soft targets.
        teacher_labels: Names of its classes, where it has none of its own.
        teacher_weight: Its share in the targets, 0 to 1.
        quantize: Trains on with weights and activations rounded as in the file that is to come (QAT):
            `int8`, `int4`, or the experiments `ternary` and `binary`; needs a run in `weights`.
        prune_channels: Share of the inner channels removed from the run in `weights` before training.
        prune: Share of the weights that end as zeros (unstructured), 0 to 1.
        validate: Epochs between two measurements.
        patience: Measurements without gain after which the run ends; 0 never ends it.
        save: Seconds between two checkpoints.
        seed: Of all chance.
    """

    data: str
    validation: str = ""
    classes: str = ""
    size: str = "256"
    alpha: float = 0.35
    anchors: int = 4
    weights: str = ""
    epochs: int = 30
    batch: int = 16
    rate: float = 1e-3
    warmup: float = 0.05
    decay: float = 1e-4
    average: float = 0.998
    frozen: int = 0
    remember: int = 0
    frozen_norms: bool = False
    class_loss: str = "focal"
    box_loss: str = "smooth-l1"
    box_weight: float = 0.3
    mosaics: float = 0.0
    balance: float = 0.0
    precision: str = "float32"
    teacher: str = ""
    teacher_labels: str = ""
    teacher_weight: float = 0.5
    quantize: str = ""
    prune_channels: float = 0.0
    prune: float = 0.0
    validate: int = 1
    patience: int = 0
    save: float = 120.0
    seed: int = 0

    def __post_init__(self) -> None:
        size_of(self.size)
        _within("alpha", self.alpha, 0.35, 1.0)
        _within("anchors", self.anchors, 1, 20)
        _within("epochs", self.epochs, 1, 10**5)
        _within("batch", self.batch, 1, 4096)
        _within("rate", self.rate, 1e-8, 10)
        _within("warmup", self.warmup, 0, 1)
        _within("decay", self.decay, 0, 1)
        _within("average", self.average, 0, 0.99999)
        _within("frozen", self.frozen, 0, 17)
        _within("remember", self.remember, 0, 1000)
        if self.remember and not self.frozen:
            raise ConfigError("--remember: expected --frozen BLOCK: only a frozen front always says the same")
        if self.remember and self.frozen > 13:
            raise ConfigError("--remember: expected --frozen up to 13, where the first head begins")
        _within("box_weight", self.box_weight, 0, 1000)
        _within("mosaics", self.mosaics, 0, 1)
        _within("balance", self.balance, 0, 1)
        _within("teacher_weight", self.teacher_weight, 0, 1)
        _within("prune_channels", self.prune_channels, 0, 0.9)
        _within("prune", self.prune, 0, 0.99)
        if self.prune_channels and not self._begins_with_run():
            raise ConfigError("--prune-channels: expected --weights RUN: a trained net is pruned")
        if self.quantize and (self.prune or self.prune_channels):
            raise ConfigError(
                "--quantize: cannot be combined with pruning; prune first, then quantize that run"
            )
        _within("validate", self.validate, 1, 10**5)
        _within("patience", self.patience, 0, 10**5)
        _within("save", self.save, 0, 10**5)
        _within("seed", self.seed, 0, 2**32)
        _one_of("class_loss", self.class_loss, ("focal", "quality", "hard-negatives"))
        _one_of("box_loss", self.box_loss, ("smooth-l1", "giou"))
        _one_of("quantize", self.quantize, ("", *QUANTIZED))
        if self.quantize and (self.frozen or not self._begins_with_run()):
            raise ConfigError("--quantize: expected --weights RUN and no --frozen: a trained net is refined")
        _one_of("precision", self.precision, ("float32", "mixed_bfloat16", "mixed_float16"))
        if self.quantize and self.precision != "float32":
            raise ConfigError("--quantize: expected --precision float32: its grid is finer than halves")

    def _begins_with_run(self) -> bool:
        # told by the name alone: a run is still a run when the one that it began with has moved
        return bool(self.weights) and Path(self.weights).suffix not in (".h5", ".tflite", ".keras")


def option(name: str) -> str:
    """The option of the command line that sets a field."""
    return "--" + name.replace("_", "-")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{option(name)}: expected {low:g} to {high:g}, got {value:g}")


def _one_of(name: str, value: str, words: tuple[str, ...]) -> None:
    if value not in words:
        raise ConfigError(f"{option(name)}: expected one of {', '.join(filter(None, words))}, got '{value}'")


def size_of(text: str) -> tuple[int, int]:
    """(width, height) from `SIDE` or `WIDTHxHEIGHT`.

    Raises:
        ConfigError: Anything else, or a side that 32 does not divide.
    """
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and len(part) < 6 for part in parts):
        raise ConfigError(f"--size: expected SIDE or WIDTHxHEIGHT in pixels, got '{text}'")
    width, height = int(parts[0]), int(parts[-1])
    if min(width, height) < 32 or width % 32 or height % 32:
        raise ConfigError(f"--size: expected multiples of 32, got {width}x{height}")
    return width, height
