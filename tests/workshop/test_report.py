from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import cv2
import layouts
import numpy as np
import program
import pytest
from tflite_files import Output, build

from edge_detect import board, detections
from edge_detect.errors import SinkError
from edge_detect.workshop import evaluate, report, report_pictures
from edge_detect.workshop.dataset import Dataset, Label, Picture

EVIL = '<img src=x onerror="alert(1)">'
NAMES = ("person", "car")
VOID = {"meta", "img"}


class Page(HTMLParser):
    """What a browser sees: tags, words and where they point; and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def detector(scheme: str = "", parent: str = "", labels: str = "person\ncar\n", boxes: Any = None) -> bytes:
    """The detector of `program`, with words of where it comes from."""
    found = layouts.postprocess(layouts.of_classes(0, 1), (64, 32))
    if boxes is not None:
        found["boxes"][0, : len(boxes)] = boxes
    names = ("", ":1", ":2", ":3")
    outputs = [
        Output(v, f"TFLite_Detection_PostProcess{n}") for v, n in zip(found.values(), names, strict=True)
    ]
    origin = f'{{"scheme": "{scheme}", "parent_sha256": "{parent}"}}' if scheme else "{}"
    files = {"labels.txt": labels.encode(), "origin.json": origin.encode()}
    return build(outputs, size=(64, 32), dtype="uint8", scale=1 / 128, zero_point=128, attachments=files)


@pytest.fixture
def compare(tmp_path: Path, save: Callable[..., Path]) -> Callable[..., evaluate.Evaluation]:
    """Models, by name, on two pictures of which the first shows what `program.detector` finds."""
    cv2.imwrite(str(tmp_path / "photo.png"), program.picture())
    person, car = layouts.TRUTH.boxes.tolist()

    def run(models: dict[str, bytes], names: tuple[str, ...] = NAMES) -> evaluate.Evaluation:
        labels = (Label(names[0], tuple(person)), Label(names[1], tuple(car)))
        pictures = [
            Picture(tmp_path / "photo.png", program.SIZE, part, frozenset(names))
            for part in (labels, labels[:1])
        ]
        paths = [save(data, name) for name, data in models.items()]
        opened = evaluate.open_models(paths, threads=1)
        return evaluate.compare(opened, Dataset(names, tuple(pictures)), place="val.json")

    return run


def test_the_page_needs_nothing_but_itself(compare: Callable[..., evaluate.Evaluation]) -> None:
    text = report.page([compare({"a.tflite": detector(), "b.tflite": detector("int8")})])

    page = Page(text)
    assert (page.open, page.handlers) == ([], [])
    assert {"script", "link", "iframe", "base"} & set(page.tags) == set()
    assert [link for link in page.links if not link.startswith("data:image/")] == []
    assert re.findall(r"url\(|@import|https?:", text) == []
    assert page.tags.count("img") == 2 + 3 + 2 * 3  # trade-off, curves, two pictures as three see them


def test_the_page_says_what_was_measured_on_what(compare: Callable[..., evaluate.Evaluation]) -> None:
    evaluation = compare({"a.tflite": detector(), "b.tflite": detector("int8")})

    text = " ".join(Page(report.page([evaluation])).words)

    assert "Detectors on val.json" in text
    assert "2 pictures, 3 boxes of 2 classes." in text
    for words in (board.name(), *(result.model.file.sha256 for result in evaluation.results)):
        assert words in text
    assert evaluation.results[0].model.card.runtime in text


def test_what_comes_from_files_is_text_and_no_markup(compare: Callable[..., evaluate.Evaluation]) -> None:
    names = (EVIL, "</td></table><script>alert(1)</script>")
    evil = {"<b>&amp;.tflite": detector("<i>int8", labels="\n".join(names) + "\n")}

    page = Page(report.page([compare(evil, names)]))

    assert {"script", "b", "i"} & set(page.tags) == set()
    assert (page.open, page.handlers) == ([], [])
    assert {*names, "<i>int8"} <= set(page.words)
    assert "1. <b>&amp;.tflite" in page.words


def test_a_row_tells_size_speed_and_what_was_lost(compare: Callable[..., evaluate.Evaluation]) -> None:
    off = [[0.0, 0.0, 0.1, 0.1]]  # the person is missed
    evaluation = compare({"a.tflite": detector("float32", "p"), "b.tflite": detector("int8", "p", boxes=off)})

    first, second = [row for row in Page(report.page([evaluation])).rows if row[0][:2] in ("1.", "2.")]

    assert (first[:4], second[:2]) == (
        ["1. a.tflite", "float32", f"{evaluation.results[0].bytes:,}", "1.00"],
        ["2. b.tflite", "int8"],
    )
    assert (first[8:], second[8:]) == (
        ["100.0", "100.0", report.NONE, report.NONE],
        ["50.0", "50.0", report.NONE, "50.0 to 1"],
    )


def test_a_loss_is_counted_from_the_float_model_of_the_same_parent(
    compare: Callable[..., evaluate.Evaluation],
) -> None:
    parents = {
        "a.tflite": ("float32", "p"),
        "b.tflite": ("int8", "q"),
        "c.tflite": ("float32", "q"),
        "d.tflite": ("", ""),
    }

    results = compare({name: detector(*words) for name, words in parents.items()}).results

    assert [report.rival(result, results).path.name for result in results] == [
        "a.tflite",
        "c.tflite",
        "c.tflite",
        "a.tflite",
    ]


def test_ratios_are_those_to_the_first_float_model_or_the_largest(
    compare: Callable[..., evaluate.Evaluation],
) -> None:
    small, large, real = detector("int8"), detector("int8") + b"\0" * 100, detector("float32")
    without = compare({"a.tflite": small, "b.tflite": large})
    with_float = compare({"a.tflite": large, "b.tflite": real})

    assert report.reference(without.results).path.name == "b.tflite"
    assert report.reference(with_float.results).path.name == "b.tflite"


def test_a_class_without_a_box_is_named_and_has_no_row(compare: Callable[..., evaluate.Evaluation]) -> None:
    evaluation = compare({"a.tflite": detector(labels="person\ncar\ndog\n")})
    data = evaluation.data
    looked = frozenset((*NAMES, "dog"))
    pictures = tuple(Picture(p.path, p.size, p.labels, looked) for p in data.pictures)
    opened = [result.model for result in evaluation.results]

    page = Page(report.page([evaluate.compare(opened, Dataset((*NAMES, "dog"), pictures), place="val.json")]))

    assert "Without a box in these pictures: dog." in page.words
    assert [row[0] for row in page.rows].count("dog") == 0


def test_two_sets_have_a_section_each(compare: Callable[..., evaluate.Evaluation]) -> None:
    evaluation = compare({"a.tflite": detector()})
    other = evaluate.Evaluation("other.json", evaluation.data, evaluation.results)

    words = Page(report.page([evaluation, other])).words

    assert [word for word in words if word in ("val.json", "other.json")] == ["val.json", "other.json"]
    assert "Detectors on val.json and other.json" in words


def test_the_same_measurements_give_the_same_page(compare: Callable[..., evaluate.Evaluation]) -> None:
    evaluation = compare({"a.tflite": detector()})

    assert report.page([evaluation]) == report.page([evaluation])


def test_a_page_is_written_for_results_of_one_set(
    tmp_path: Path, compare: Callable[..., evaluate.Evaluation]
) -> None:
    evaluation = compare({"a.tflite": detector()})

    report.write(evaluation.results, evaluation.data, tmp_path / "r.html")

    assert f"<h1>Detectors on {tmp_path}</h1>" in (tmp_path / "r.html").read_text("utf-8")


def test_a_place_that_cannot_be_written_is_told(
    tmp_path: Path, compare: Callable[..., evaluate.Evaluation]
) -> None:
    evaluation = compare({"a.tflite": detector()})

    with pytest.raises(SinkError) as caught:
        report.write_all([evaluation], tmp_path)

    assert str(caught.value) == f"{tmp_path}: cannot write: Is a directory"


BOX, OTHER = [0, 0, 50, 50], [100, 100, 150, 150]
ONE = detections.make([BOX], [0.9], [0])


@pytest.mark.parametrize(
    "other, count",
    [
        (detections.make([BOX], [0.4], [0]), 0),
        (detections.make([BOX], [0.9], [1]), 2),
        (detections.make([OTHER], [0.9], [0]), 2),
        (detections.make([BOX, OTHER], [0.9, 0.9], [0, 0]), 1),
        (detections.none(), 1),
    ],
    ids=["same", "other class", "other place", "one more", "nothing"],
)
def test_things_that_only_one_has_found_are_counted(other: Any, count: int) -> None:
    assert (report_pictures.apart(ONE, other), report_pictures.apart(other, ONE)) == (count, count)


def test_the_pictures_on_which_models_differ_most_come_first() -> None:
    none = detections.none()
    first, second = [ONE, ONE, none, ONE], [ONE, none, none, detections.make([OTHER], [0.9], [0])]

    assert report_pictures.most_disputed([first, second], 3) == [3, 1, 0]


def test_what_is_shown_is_above_the_best_threshold_of_its_class(
    compare: Callable[..., evaluate.Evaluation],
) -> None:
    result = compare({"a.tflite": detector(labels="car\ndog\nperson\n")}, ("person", "car")).results[0]
    precision = result.precision
    best = np.array([[0.6, 1, 1], [np.nan] * 3])  # of person; of car, nothing is known
    result = evaluate.Result(
        result.model,
        type(precision)(precision.classes, precision.boxes, precision.table, precision.recalls, best),
        1.0,
        1.0,
        (),
    )
    found = detections.make([BOX] * 6, [0.7, 0.5, 0.4, 0.2, 0.9, 0.9], [2, 2, 0, 0, 1, 7])

    shown = report_pictures.shown(result, found)

    assert list(zip(shown.classes.tolist(), shown.scores.round(1).tolist(), strict=True)) == [
        (0, pytest.approx(0.7)),
        (1, pytest.approx(0.4)),
    ]


def test_regions_to_ignore_are_not_drawn_as_things() -> None:
    labels = (
        Label("person", (0, 0, 9, 9)),
        Label("person", (0, 0, 9, 9), ignore=True),
        Label("car", (0, 0, 9, 9)),
    )
    picture = Picture(Path("a.jpg"), (20, 20), labels, frozenset({"person"}))

    truth = cast(Any, report_pictures)._truth(picture, NAMES)

    assert truth.classes.tolist() == [0]
