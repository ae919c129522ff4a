from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import layouts
import numpy as np
import psutil
import pytest
from layouts import TRUTH
from tflite_files import Output, build, build_crash, build_custom, build_endless, build_postprocess

from edge_detect import probe
from edge_detect.card import Card
from edge_detect.errors import ModelError
from edge_detect.graph import Graph
from edge_detect.interpreter import runtime

Save = Callable[..., Path]
DETECTOR = build([Output(layouts.yolov8(TRUTH, (96, 96), 2))], size=(96, 96))


def problem(path: Path, limit: float = probe.LIMIT) -> str:
    with pytest.raises(ModelError) as caught:
        probe.examine_apart(path, limit)
    return str(caught.value)


def test_the_child_comes_to_the_same_card(save: Save) -> None:
    path = save(DETECTOR)

    assert probe.examine_apart(path) == probe.examine(path)


@pytest.mark.parametrize("name", ["model.tflite", "-m.tflite", "my model é.tflite", "model"])
def test_any_name_of_a_file_will_do(save: Save, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(save(DETECTOR, name).parent)

    assert probe.examine_apart(Path(name)).kind == "detector"


def test_the_folder_that_the_user_stands_in_lends_no_modules(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(DETECTOR)
    save(b"raise SystemExit('not ours')", "json.py")
    monkeypatch.chdir(path.parent)

    assert probe.examine_apart(path).kind == "detector"


def test_a_model_that_crashes_the_runtime_is_told_and_the_program_lives(save: Save) -> None:
    assert problem(save(build_crash())) == (
        "model.tflite: crashes the runtime (SIGSEGV) and was not loaded; the file is damaged"
        " or made for another runtime: copy it again or convert it anew"
    )


def children() -> set[psutil.Process]:
    """Of this process; other tests may have left some of the standard library's."""
    return set(psutil.Process().children())


def test_a_model_that_computes_for_ever_is_stopped(save: Save) -> None:
    before = children()

    assert problem(save(build_endless()), limit=1.5) == (
        "model.tflite: one run took more than 2 s; use a smaller model"
    )
    assert children() <= before


def test_a_child_that_is_killed_is_told(save: Save) -> None:
    path, before = save(build_endless()), children()

    with ThreadPoolExecutor() as pool:
        answer = pool.submit(problem, path, 30)
        child = None
        while child is None and not answer.done():
            child = next(iter(children() - before), None)
        assert child is not None
        child.send_signal(signal.SIGKILL)

        assert answer.result(5).startswith("model.tflite: crashes the runtime (SIGKILL) and was not loaded;")


def test_a_model_for_the_edge_tpu_is_told(save: Save) -> None:
    card = probe.examine(save(build_custom("edgetpu-custom-op")))

    assert card == Card(
        "unsupported",
        "compiled for the Coral Edge TPU; use the file without '_edgetpu' in its name",
    )


def test_a_model_with_operators_of_tensorflow_is_told(save: Save) -> None:
    card = probe.examine(save(build_custom("FlexSize")))

    assert card == Card(
        "unsupported",
        "needs TensorFlow's own operators (Flex); convert it again without SELECT_TF_OPS",
    )


def test_an_operator_that_the_runtime_does_not_know_is_told(save: Save) -> None:
    said = problem(save(build_custom("MyOwnOperator")))

    assert said.startswith(f"model.tflite: {runtime()[0]} refuses it: ")
    assert "MyOwnOperator" in said
    assert said.endswith("; convert it again with a current TensorFlow, or use another model")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "model.tflite: the file is empty; copy or download it again"),
        (
            b"no model at all",
            "model.tflite: the file does not begin like a TFLite file, not a TFLite model;"
            " expected a .tflite file",
        ),
        (DETECTOR[:300], "model.tflite: a damaged or truncated TFLite file; copy or download it again"),
    ],
    ids=["empty", "garbage", "cut off"],
)
def test_what_is_no_model_is_told_by_the_child_too(save: Save, data: bytes, said: str) -> None:
    assert problem(save(data)) == said


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    assert problem(tmp_path / "m.tflite").startswith("m.tflite: cannot be run: FileNotFoundError: ")


def test_the_child_writes_nothing_but_its_answer(save: Save) -> None:
    command = ["-m", "edge_detect.probe", str(save(DETECTOR))]

    done = subprocess.run([sys.executable, *command], capture_output=True, timeout=30, check=True)

    assert len(done.stdout.splitlines()) == 1


def test_a_constant_of_another_size_than_its_shape_is_told(save: Save) -> None:
    short = build_postprocess(np.ones((5000, 4), "f4"), np.ones((5000, 2), "f4"))
    data = short.replace(np.array([5000, 4], "<i4").tobytes(), np.array([1, 4], "<i4").tobytes())

    assert problem(save(data)).startswith("model.tflite: ")


def test_flipped_bits_end_in_a_card_or_a_model_error(tmp_path: Path) -> None:
    data = build_postprocess(np.ones((3, 4), "f4"), np.ones((3, 2), "f4"), behind="reshape quantize")
    random = np.random.default_rng(5)

    def outcome(number: int) -> str:
        damaged = bytearray(data)
        for place in random.integers(8, len(data), 3):
            damaged[place] ^= 1 << int(random.integers(8))
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(damaged)
        try:
            Graph(bytes(damaged), path.name)
            return probe.examine_apart(path, 20).kind
        except ModelError as error:
            return "refused" if str(error).startswith(f"{path.name}: ") else str(error)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(outcome, range(24)))

    assert {"detector", "refused"} <= set(outcomes) <= {"detector", "refused", "unsupported", "classifier"}
