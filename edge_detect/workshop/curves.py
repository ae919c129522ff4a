"""Curves: what was measured, as PNG pictures."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_detect import durable
from edge_detect.errors import DatasetError, DependencyError, InputMissing
from edge_detect.workshop.average_precision import Precision
from edge_detect.workshop.evaluate import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# told apart by the colour-blind too; source: Okabe and Ito, Color Universal Design, 2008
BLUE, ORANGE, GREEN, RED, SKY, PINK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
PALETTE = (BLUE, ORANGE, GREEN, RED, SKY, PINK)
DASHES = ("-", "--", ":")
NAMED = 12  # curves in one panel that have a name; the others are grey
COLUMNS = 3
SIZE = (4.6, 4.9)  # inches of one panel
STYLE: Any = {
    "font.size": 9,
    "legend.fontsize": 8,
    "figure.constrained_layout.w_pad": 0.12,
    "figure.constrained_layout.h_pad": 0.12,
}
WORST = 5  # bars that stand out

Paint: TypeAlias = "Callable[[Axes], None]"


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram: its title, and what draws it."""

    title: str
    paint: Paint


def precision_recall(evaluations: Sequence[Evaluation], place: Path) -> None:
    """Writes the precision-recall curves at IoU .50: a panel for each model, and one that compares.

    Raises:
        DependencyError: matplotlib is not installed.
        SinkError: The picture cannot be written.
    """
    told = len(evaluations) > 1
    panels = []
    for evaluation in evaluations:
        for panel in recall_panels(evaluation):
            title = f"{evaluation.place}\n{panel.title}" if told else panel.title
            panels.append(Panel(title, panel.paint))
    durable.write(place, draw(panels))


def recall_panels(evaluation: Evaluation) -> list[Panel]:
    """Precision over recall: the means of all models where there are several, then each by class."""
    rows = list(zip(evaluation.titles, evaluation.results, strict=True))
    panels = [Panel(title, _by_class(result.precision)) for title, result in rows]
    if len(rows) == 1:
        return panels
    means = [(title, _mean_curve(result.precision)) for title, result in rows]
    return [Panel("mean over classes", _several(means)), *panels]


def _mean_curve(precision: Precision) -> npt.NDArray[np.float64]:
    """(101,) precision at each recall, over the classes that have boxes; nan without any."""
    part = precision.table[0, :, :, 0]  # (101, c)
    there = part[:, (part > -1).all(0)]
    return there.mean(1) if there.shape[1] else np.full(len(part), np.nan)


def _by_class(precision: Precision) -> Paint:
    order = [int(i) for i in np.argsort(-precision.boxes, kind="stable") if precision.boxes[i]]
    curves = [(precision.classes[i], precision.table[0, :, i, 0]) for i in order]

    def paint(axes: Axes) -> None:
        _recall_axes(axes)
        for curve in (curve for _, curve in curves[NAMED:]):
            axes.plot(*_reached(curve), color="0.8", linewidth=0.8)
        _lines(axes, curves[:NAMED])
        axes.plot(*_reached(_mean_curve(precision)), color="black", linewidth=2.4)
        _legend(axes, "AP50", [*_named(curves[:NAMED]), f"{_two(precision.ap50)}  mean of {len(curves)}"])

    return paint


def _several(curves: Sequence[tuple[str, npt.NDArray[np.float64]]]) -> Paint:
    def paint(axes: Axes) -> None:
        _recall_axes(axes)
        _lines(axes, curves)
        _legend(axes, "AP50", _named(curves))

    return paint


def _named(curves: Sequence[tuple[str, npt.NDArray[np.float64]]]) -> list[str]:
    """Words for the legend; the mean of a curve is its AP50."""
    return [f"{_two(float(curve.mean()))}  {name}" for name, curve in curves]


def _two(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _reached(curve: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Recalls and precisions as far as the recall goes."""
    recalls = np.linspace(0, 1, len(curve))
    ends = np.flatnonzero(curve > 0)
    stop = int(ends[-1]) + 1 if len(ends) else 0
    return recalls[:stop], curve[:stop]


def _lines(axes: Axes, curves: Sequence[tuple[str, npt.NDArray[np.float64]]]) -> None:
    for i, (_, curve) in enumerate(curves):
        dash = DASHES[i // len(PALETTE) % len(DASHES)]
        axes.plot(*_reached(curve), color=PALETTE[i % len(PALETTE)], linestyle=dash, linewidth=1.6)


def _recall_axes(axes: Axes) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")


def _legend(axes: Axes, title: str, names: Sequence[str]) -> None:
    """A legend below the diagram, for the last lines of it, whatever signs the names hold."""
    lines = axes.get_lines()[-len(names) :]
    texts = [_plain(name) for name in names]
    axes.legend(
        lines, texts, title=title, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False,
        ncols=1 if max(map(len, texts), default=0) > 24 else 2, title_fontsize=8,
    )  # fmt: skip


def trade_off(evaluation: Evaluation) -> list[Panel]:
    """AP50 over the size of the file, and over the time of the net; points have the numbers of the models."""
    sizes = [result.bytes / 1e6 for result in evaluation.results]
    times = [result.invoke_ms for result in evaluation.results]
    gains = [result.precision.ap50 for result in evaluation.results]
    return [
        Panel("AP50 and size", _points(sizes, gains, "size of the file, MB")),
        Panel("AP50 and time", _points(times, gains, "median of invoke, ms")),
    ]


def _points(across: Sequence[float], up: Sequence[float], what: str) -> Paint:
    def paint(axes: Axes) -> None:
        for i, (x, y) in enumerate(zip(across, up, strict=True)):
            axes.plot([x], [y], "o", color=PALETTE[i % len(PALETTE)], markersize=8)
            place = (6, 6) if i % 2 == 0 else (6, -12)
            axes.annotate(str(i + 1), (x, y), place, textcoords="offset points", fontsize=10)
        axes.set(xlabel=what, ylabel="AP50")
        axes.margins(0.15)
        axes.set_xlim(0, max(across) * 1.15 or 1.0)

    return paint


def training(path: Path, place: Path) -> None:
    """Writes a picture of a run's `curves.csv`: the losses and the accuracy, epoch by epoch.

    Raises:
        InputMissing: The file is not there.
        DatasetError: It is not the curves of a run, or has no epoch yet.
        SinkError: The picture cannot be written.
    """
    columns = _read_curves(path)
    epochs = columns["epoch"]

    def losses(axes: Axes) -> None:
        for i, (name, text) in enumerate((("loss", "all"), ("classes", "classes"), ("boxes", "boxes"))):
            axes.plot(
                epochs, columns[name], color=PALETTE[i], linestyle=DASHES[i], label=text, marker=_dot(epochs)
            )
        axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
        axes.locator_params("x", integer=True)
        axes.legend(frameon=False)

    def accuracy(axes: Axes) -> None:
        for i, (name, text) in enumerate((("ap50", "AP50"), ("ap", "AP"))):
            there = ~np.isnan(columns[name])
            axes.plot(epochs[there], columns[name][there], color=PALETTE[i], marker=".", label=text)
        axes.set(xlabel="epoch", ylabel="on the set that is held out", ylim=(0, None))
        axes.locator_params("x", integer=True)
        axes.legend(frameon=False)

    durable.write(place, draw([Panel("losses", losses), Panel("accuracy", accuracy)]))


def _dot(values: npt.NDArray[np.float64]) -> str:
    return "." if len(values) == 1 else ""  # a line of one point is not seen


def _read_curves(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    wanted = ("epoch", "loss", "classes", "boxes", "ap", "ap50")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in wanted if name not in (reader.fieldnames or ())]
            if missing:
                raise DatasetError(f"{path}: expected the curves of a run, got no column '{missing[0]}'")
            rows = [[_value(f"{path}:{reader.line_num}: {n}", row[n]) for n in wanted] for row in reader]
    except OSError as error:
        raise InputMissing(f"{path}: cannot read the curves: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: expected the curves of a run, got binary data") from error
    if not rows:
        raise DatasetError(f"{path}: expected the curves of a run, got none yet; let it end an epoch")
    return dict(zip(wanted, np.array(rows).T, strict=True))


def _value(where: str, text: str | None) -> float:
    """A number, nan where there is none yet."""
    try:
        return float(text) if text else math.nan
    except ValueError as error:
        raise DatasetError(f"{where}: expected a number, got '{text}'") from error


def bars(layers: Sequence[tuple[str, float]], place: Path, title: str = "signal to noise by layer") -> None:
    """Writes a picture of horizontal bars, one a layer, the first on top; the `WORST` stand out.

    Args:
        layers: Name and signal to noise in dB; inf where nothing was lost, nan where it is not known.
        place: The PNG file.
        title: Of the picture.

    Raises:
        SinkError: The picture cannot be written.
    """
    values = np.array([decibels for _, decibels in layers], np.float64)
    finite = np.isfinite(values)
    longest = float(values[finite].max(initial=0)) or 1.0
    worst = set(np.argsort(np.where(finite, values, np.inf), kind="stable")[:WORST].tolist())

    def paint(axes: Axes) -> None:
        rows = np.arange(len(values))
        colours = [RED if i in worst and finite[i] else BLUE for i in rows]
        axes.barh(rows, np.where(np.isposinf(values), longest, np.where(finite, values, 0)), color=colours)
        for i, value in enumerate(values.tolist()):
            text = f"{value:.1f}" if finite[i] else "-" if math.isnan(value) else "exact"
            axes.annotate(
                text, (max(0.0, min(value, longest) if not math.isnan(value) else 0.0), i), (3, 0),
                textcoords="offset points", va="center", fontsize=7,
            )  # fmt: skip
        axes.set_yticks(rows, [_plain(name) for name, _ in layers], fontsize=7)
        axes.set(xlabel="dB", ylim=(len(values) - 0.5, -0.5))
        axes.set_xlim(min(0.0, float(values[finite].min(initial=0))), longest * 1.1)

    durable.write(place, draw([Panel(title, paint)], (8.0, 1.2 + 0.18 * max(len(values), 4))))


def draw(panels: Sequence[Panel], size: tuple[float, float] = SIZE) -> bytes:
    """PNG of diagrams side by side.

    Args:
        panels: At least one.
        size: Width and height of each in inches.

    Raises:
        DependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError("curves need matplotlib: pip install 'edge_detect[workshop]'") from error
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that its font does not have: they become boxes
        figure = Figure((size[0] * columns, size[1] * rows), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)  # not that of a screen
        for i, panel in enumerate(panels, 1):
            _paint(figure, figure.add_subplot(rows, columns, i), panel)
        held = io.BytesIO()
        figure.savefig(held, format="png")
    return held.getvalue()


def _paint(figure: Figure, axes: Axes, panel: Panel) -> None:
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(_plain(panel.title), fontsize=9)
    panel.paint(axes)


def _plain(text: str) -> str:
    """The text as it is: a dollar is no formula, and what is no letter is a question mark."""
    return text.encode("utf-8", "replace").decode().replace("$", r"\$")
