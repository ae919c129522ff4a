from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sets

keras = pytest.importorskip("keras")
pytest.importorskip("ai_edge_quantizer")
pytest.importorskip("pycocotools")

import small_nets
from small_nets import converted

from edge_detect.cli import main
from edge_detect.graph import Graph
from edge_detect.model import open_model
from edge_detect.workshop import metadata

pytestmark = small_nets.LIBRARIES


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A float file `small.tflite` and a set `val.json` of twelve pictures in `pictures`."""
    (tmp_path / "small.tflite").write_bytes(converted("float32"))
    images = [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 48} for i in range(12)]
    boxes = [{"id": i, "image_id": i, "category_id": i % 2 + 1, "bbox": [5, 5, 40, 30]} for i in range(12)]
    for i in range(12):
        sets.draw(tmp_path / f"pictures/{i}.png", seed=i)
    names = [{"id": i, "name": name} for i, name in enumerate(small_nets.CLASSES, 1)]
    document: dict[str, Any] = {"images": images, "annotations": boxes, "categories": names}
    (tmp_path / "val.json").write_text(json.dumps(document))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def convert(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["convert", *words.split()])
    told = capsys.readouterr()
    return code, told.out, told.err


CALIBRATE = "--calibrate pictures --pictures 8"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        pytest.param(
            "small.tflite -o o.tflite --scheme int9",
            2,
            "--scheme: unknown scheme 'int9', did you mean 'int8'?",
            id="scheme",
        ),
        pytest.param(
            "small.tflite -o o.tflite", 2, "--scheme int8: expected --calibrate DATA, got none", id="pictures"
        ),
        pytest.param(
            "small.tflite -o o --scheme all", 2, "--scheme all: expected --calibrate DATA, got none", id="all"
        ),
        pytest.param(
            "small.tflite small.tflite -o o.tflite --scheme float16",
            2,
            "expected one model, got 2; several go with --scheme all",
            id="two models",
        ),
        pytest.param(
            f"small.tflite -o pictures {CALIBRATE}",
            2,
            "--output: pictures is a folder, expected a file",
            id="a folder as file",
        ),
        pytest.param(
            f"small.tflite -o val.json --scheme all {CALIBRATE}",
            2,
            "--output: val.json is a file, expected a folder",
            id="a file as folder",
        ),
        pytest.param(
            "small.tflite -o val.json/o.tflite --scheme float16",
            74,
            "val.json: cannot write: File exists",
            id="unwritable",
        ),
        pytest.param(
            "none.tflite -o o.tflite --scheme float16",
            66,
            "none.tflite: cannot read the model: no such file or folder",
            id="no model",
        ),
        pytest.param(
            f"pictures/0.png -o o.tflite {CALIBRATE}",
            1,
            "0.png: this is a PNG picture, not a TFLite model; expected a .tflite file",
            id="a picture as model",
        ),
        pytest.param(
            f"small.tflite -o o.tflite --max-drop 1 {CALIBRATE}",
            2,
            "--max-drop: expected --validate DATA and a scheme that is calibrated",
            id="no validation",
        ),
        pytest.param(
            "small.tflite -o o.tflite --scheme float16 --mean 1",
            2,
            "--mean and --std: expected both or none",
            id="mean alone",
        ),
        pytest.param(
            "small.tflite -o o.tflite --scheme float16 --mean 1 --std 0",
            2,
            "--std: expected a number above 0, got 0",
            id="division by zero",
        ),
        pytest.param(
            "small.tflite -o o.tflite --scheme float16 --wider heads=8",
            2,
            "--wider heads=8: expected =16 or =32, got =8",
            id="width",
        ),
        pytest.param(
            f"small.tflite -o o.tflite --wider ( {CALIBRATE}",
            2,
            "--wider: '(' is no regular expression: missing ), unterminated subpattern at position 0",
            id="pattern",
        ),
        pytest.param(
            "small.tflite -o o.tflite --calibrate empty",
            66,
            "empty: cannot read the data set: no such file or folder",
            id="no pictures",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_code(
    bench: Path, capsys: pytest.CaptureFixture[str], words: str, code: int, message: str
) -> None:
    assert convert(words, capsys) == (code, "", f"edge-detect: error: {message}\n")
    assert not (bench / "o.tflite").exists()


def test_a_file_is_written_and_told(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told, _ = convert(f"small.tflite -o new/o.tflite {CALIBRATE}", capsys)

    data = (bench / "new/o.tflite").read_bytes()
    assert (code, told) == (0, f"new/o.tflite: {len(data)} bytes\n")
    assert Graph(data, "o").dtype(0) == "int8"
    assert open_model(bench / "new/o.tflite", threads=1).labels.names == small_nets.CLASSES


def test_layers_that_stay_in_float_are_told(
    bench: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    image = keras.Input((32, 32, 3))
    y = keras.layers.LeakyReLU()(keras.layers.Conv2D(4, 3)(image))
    y = keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling2D()(y))
    keras.Model(image, y).save(bench / "leaky.keras")

    code, _, _ = convert(f"leaky.keras -o o.tflite {CALIBRATE}", capsys)

    assert code == 0
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "o.tflite: stays in float where int8 cannot be: LEAKY_RELU"
    ]


def test_a_file_is_kept_with_new_labels(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bench / "int8.tflite").write_bytes(converted("int8"))
    (bench / "names.txt").write_text("cat\ndog\n")

    code, _, _ = convert("int8.tflite -o o.tflite --scheme keep -l names.txt", capsys)

    assert code == 0
    assert open_model(bench / "o.tflite", threads=1).labels.names == ("cat", "dog")


def test_a_quantized_file_is_not_quantized_again(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bench / "int8.tflite").write_bytes(converted("int8"))

    assert convert(f"int8.tflite -o o.tflite {CALIBRATE}", capsys) == (
        1,
        "",
        "edge-detect: error: int8.tflite: input type int8: expected a float model; convert the original\n",
    )


def test_the_layers_are_printed_or_written(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"small.tflite -o o.tflite {CALIBRATE} --layers"

    _, told, _ = convert(f"{words} -", capsys)
    code, _, _ = convert(f"{words} rows.txt", capsys)

    assert code == 0
    assert told.count("<- among the worst five") == 5
    assert (bench / "rows.txt").read_text() == told.partition("\n")[2]
    assert (bench / "rows.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_every_scheme_and_a_report_of_them(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"small.tflite -o all --scheme all {CALIBRATE} --validate val.json=pictures"

    code, told, _ = convert(words, capsys)

    files = sorted((bench / "all").glob("*.tflite"))
    assert (code, len(files), "refused" in told) == (0, 16, False)
    assert told.endswith("all/report.html\n")
    page = (bench / "all/report.html").read_text()
    assert all(path.stem in page for path in files)
    assert {metadata.origin(path.read_bytes())["parent_sha256"] for path in files} == {
        metadata.origin(files[0].read_bytes())["parent_sha256"]
    }


@pytest.mark.slow
def test_the_fewest_wider_layers_are_searched(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"small.tflite -o o.tflite {CALIBRATE} --max-drop 100 --validate val.json=pictures"

    code, told, _ = convert(words, capsys)

    assert code == 0
    assert told.splitlines()[1] == "kept wider: 0 layers"


@pytest.mark.slow
def test_a_classifier_tells_how_often_it_agrees(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=5)
    model.save(bench / "five.keras")

    code, told, _ = convert(f"five.keras -o o.tflite {CALIBRATE}", capsys)

    last = told.splitlines()[-1]
    assert code == 0
    assert last.startswith("top-1 agreement with the float model: ")
    assert " of 8 pictures (" in last
