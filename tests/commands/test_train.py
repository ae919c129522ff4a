from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("keras")
pytest.importorskip("ai_edge_quantizer")

import small_nets
import squares
from program import run

from edge_detect import cli
from edge_detect.workshop.settings import Settings, option

pytestmark = small_nets.LIBRARIES


def test_help_tells_every_setting_and_the_time_left() -> None:
    end = run("train", "--help")

    assert end.returncode == 0
    assert [f.name for f in dataclasses.fields(Settings) if f"{option(f.name)} " not in end.stdout] == []
    assert "time that is left" in end.stdout
    assert "Highest learning rate (0.001)" in " ".join(end.stdout.split())


@pytest.mark.parametrize(
    "words, code, message",
    [
        ((), 2, "--data: expected a data set to learn from, got none"),
        (("--epochs", "3"), 2, "--data: expected a data set to learn from, got none"),
        (("--epoch", "3"), 2, "unknown argument '--epoch', did you mean '--epochs'? (see edge-detect train --help)"),
        (("--data", "set.json", "--epochs", "x"), 2, "train: epochs: expected int, got 'x'"),
        (("--data", "set.json", "--size", "50"), 2, "train: --size: expected multiples of 32, got 50x50"),
        (("--data", "no.json"), 66, "no.json: cannot read the data set: no such file or folder"),
        (
            ("--data", "set.json", "--classes", "dog"), 1,
            "--classes: the set has no class 'dog', expected one of: car, person",
        ),
        (("--data", "bare.json"), 1, "--data: expected pictures with labels of person, car, got none"),
    ],
    ids=["nothing", "no data", "option", "word", "size", "missing", "class", "empty"],
)  # fmt: skip
def test_a_mistake_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, message: str
) -> None:
    squares.write(tmp_path, 2)
    squares.write(tmp_path, 2, "bare.json", labels=False)
    monkeypatch.chdir(tmp_path)

    end = run("train", "-o", "run", *words)

    assert (end.returncode, end.stdout, end.stderr) == (code, "", f"edge-detect: error: {message}\n")
    assert not Path("run").exists()


@pytest.mark.slow
def test_with_its_folder_alone_a_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small_nets.run(tmp_path / "run", small_nets.float_net())
    document = json.loads((place := folder / "settings.json").read_text())
    document["settings"] |= {"data": squares.write(tmp_path, 4), "epochs": 2, "batch": 4}
    place.write_text(json.dumps(document))
    tf.config.run_functions_eagerly(True)
    try:
        code = cli.main(["train", "-o", str(folder), "--until", "1"])
        stopped = (folder / "curves.csv").read_text().splitlines()
        more = cli.main(["train", "-o", str(folder)])
    finally:
        tf.config.run_functions_eagerly(False)

    assert (code, more, capsys.readouterr().out) == (0, 0, f"{folder}\n{folder}\n")
    assert len(stopped) == 2
    assert len((folder / "curves.csv").read_text().splitlines()) == 3
