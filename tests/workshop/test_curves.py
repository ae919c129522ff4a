from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from matplotlib.figure import Figure

from edge_detect.errors import DatasetError, DependencyError, EdgeDetectError, InputMissing, SinkError
from edge_detect.workshop import curves
from edge_detect.workshop.average_precision import Precision
from edge_detect.workshop.evaluate import Evaluation

HEAD = "epoch,rate,loss,classes,boxes,ap,ap50\n"
HARD = ("$x^2", "$a$ and $b$", "_hidden", "人", "two\nlines", "\udcff", "")


def precision(classes: Sequence[str] = ("person", "car"), boxes: Sequence[int] = (30, 10)) -> Precision:
    """Each class found up to a recall of its own, without a mistake."""
    table = np.zeros((10, 101, len(classes), 4))
    for i, count in enumerate(boxes):
        table[:, : 101 - 10 * i if i < 9 else 5, i] = 1
        if not count:
            table[:, :, i] = -1
    return Precision(
        tuple(classes), np.array(boxes), table, np.zeros((10, len(classes), 4, 3)), np.zeros((0, 3))
    )


def evaluation(*titles: str, of: Precision | None = None, place: str = "val.json") -> Evaluation:
    results = [
        SimpleNamespace(path=Path(title), precision=of or precision(), bytes=1000 * (i + 1), invoke_ms=2.0)
        for i, title in enumerate(titles)
    ]
    return Evaluation(place, cast(Any, ()), cast(Any, tuple(results)))


def size_of(data: bytes) -> tuple[int, int]:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return int(width), int(height)


def painted(panel: curves.Panel) -> Any:
    axes = Figure().add_subplot()
    panel.paint(axes)
    return axes


def words(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_one_model_has_one_panel_with_its_classes_and_their_mean() -> None:
    (panel,) = curves.recall_panels(evaluation("a.tflite"))

    assert panel.title == "a.tflite"
    assert words(painted(panel)) == ["1.00  person", "0.90  car", "0.95  mean of 2"]


def test_several_models_are_compared_in_a_panel_before_their_own() -> None:
    panels = curves.recall_panels(evaluation("a.tflite", "b.tflite"))

    assert [panel.title for panel in panels] == ["mean over classes", "a.tflite", "b.tflite"]
    assert words(painted(panels[0])) == ["0.95  a.tflite", "0.95  b.tflite"]


def test_a_curve_ends_at_the_recall_that_is_reached() -> None:
    (panel,) = curves.recall_panels(evaluation("a.tflite"))

    person, car, _ = painted(panel).get_lines()

    assert (person.get_xdata()[-1], car.get_xdata()[-1]) == (1.0, pytest.approx(0.9))


def test_classes_without_boxes_have_no_curve() -> None:
    (panel,) = curves.recall_panels(evaluation("a.tflite", of=precision(boxes=(0, 10))))

    assert words(painted(panel)) == ["0.90  car", "0.90  mean of 1"]


def test_a_set_without_any_box_is_drawn_too() -> None:
    (panel,) = curves.recall_panels(evaluation("a.tflite", of=precision(boxes=(0, 0))))

    assert words(painted(panel)) == ["-  mean of 0"]


def test_of_many_classes_the_most_frequent_have_names() -> None:
    names = [f"class {i}" for i in range(20)]

    (panel,) = curves.recall_panels(evaluation("a.tflite", of=precision(names, range(1, 21))))

    axes = painted(panel)
    assert len(axes.get_lines()) == 21
    assert [text.partition("  ")[2] for text in words(axes)] == [*names[:7:-1], "mean of 20"]


@pytest.mark.parametrize(
    "name", HARD, ids=["dollar", "formula", "underscore", "han", "newline", "surrogate", "empty"]
)
def test_names_of_any_signs_can_be_drawn(tmp_path: Path, name: str) -> None:
    hard = evaluation(f"{name}.tflite", of=precision((name, "car")), place=name)

    curves.precision_recall([hard, hard], tmp_path / "c.png")
    curves.bars([(name, 12.0)], tmp_path / "b.png", name)

    assert size_of((tmp_path / "c.png").read_bytes()) == (1380, 735)
    assert size_of((tmp_path / "b.png").read_bytes())[0] == 1200


def test_a_dollar_is_a_dollar() -> None:
    (panel,) = curves.recall_panels(evaluation("a.tflite", of=precision(("$a$", "car"))))

    assert words(painted(panel))[0] == r"1.00  \$a\$"  # matplotlib's own way to write one


def test_panels_stand_in_rows_of_three() -> None:
    panels = curves.recall_panels(evaluation("a", "b", "c"))

    assert size_of(curves.draw(panels)) == (3 * 690, 2 * 735)


def test_the_trade_off_shows_each_model_with_its_number() -> None:
    size, time = curves.trade_off(evaluation("a", "b"))

    assert [text.get_text() for text in painted(size).texts] == ["1", "2"]
    assert [line.get_xdata()[0] for line in painted(size).get_lines()] == [0.001, 0.002]
    assert [line.get_xdata()[0] for line in painted(time).get_lines()] == [2.0, 2.0]


def test_drawing_leaves_pyplot_alone(tmp_path: Path) -> None:
    # in a process of its own: other libraries import pyplot
    code = (
        "import sys; from pathlib import Path; from edge_detect.workshop import curves;"
        "curves.bars([('Conv1', 30.0)], Path(sys.argv[1])); print('matplotlib.pyplot' in sys.modules)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "b.png")]
    end = subprocess.run(words, timeout=60, check=True, capture_output=True, text=True)

    assert end.stdout == "False\n"


@pytest.mark.parametrize("count, height", [(1, 288), (120, 3420)], ids=["one", "many"])
def test_bars_have_a_row_for_each_layer(tmp_path: Path, count: int, height: int) -> None:
    curves.bars([(f"block_{i}_expand", float(i)) for i in range(count)], tmp_path / "b.png")

    assert size_of((tmp_path / "b.png").read_bytes()) == (1200, height)


@pytest.mark.parametrize(
    "values",
    [(), (float("inf"),) * 2, (float("nan"), -3.0), (0.0, 0.0)],
    ids=["none", "exact", "unknown", "zero"],
)
def test_bars_without_an_ordinary_number_are_drawn(tmp_path: Path, values: tuple[float, ...]) -> None:
    curves.bars([("layer", value) for value in values], tmp_path / "b.png")

    assert (tmp_path / "b.png").exists()


@pytest.mark.parametrize(
    "rows", ["1,.01,9.5,5,4.5,,\n", "1,.01,9.5,5,4.5,,\n2,.01,8,4,4,.1,.2\n"], ids=["one", "two"]
)
def test_a_run_is_drawn_epoch_by_epoch_with_and_without_accuracy(tmp_path: Path, rows: str) -> None:
    (tmp_path / "curves.csv").write_text(HEAD + rows)

    curves.training(tmp_path / "curves.csv", tmp_path / "c.png")

    assert size_of((tmp_path / "c.png").read_bytes()) == (1380, 735)


@pytest.mark.parametrize(
    "text, kind, message",
    [
        (None, InputMissing, "curves.csv: cannot read the curves: No such file or directory"),
        (HEAD, DatasetError, "curves.csv: expected the curves of a run, got none yet; let it end an epoch"),
        ("", DatasetError, "curves.csv: expected the curves of a run, got no column 'epoch'"),
        (
            "epoch,loss\n1,2\n",
            DatasetError,
            "curves.csv: expected the curves of a run, got no column 'classes'",
        ),
        (HEAD + "1,1,abc,1,1,,\n", DatasetError, "curves.csv:2: loss: expected a number, got 'abc'"),
        ("\udcff\n", DatasetError, "curves.csv: expected the curves of a run, got binary data"),
    ],
    ids=["missing", "no epoch", "empty", "other columns", "no number", "binary"],
)
def test_what_are_no_curves_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
    kind: type[EdgeDetectError],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("curves.csv").write_text(text, errors="surrogateescape")

    with pytest.raises(kind) as caught:
        curves.training(Path("curves.csv"), Path("c.png"))

    assert str(caught.value) == message


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    place = tmp_path / "none" / "b.png"

    with pytest.raises(SinkError) as caught:
        curves.bars([("Conv1", 3.0)], place)

    assert str(caught.value) == f"{place}: cannot write: No such file or directory"


def test_a_missing_matplotlib_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(DependencyError) as caught:
        curves.bars([("Conv1", 3.0)], tmp_path / "b.png")

    assert str(caught.value) == "curves need matplotlib: pip install 'edge_detect[workshop]'"
