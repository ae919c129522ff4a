from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tflite_files import Output, build, build_custom

from edge_detect import interpreter, logs
from edge_detect.errors import DependencyError, ModelError
from edge_detect.interpreter import Interpreter
from edge_detect.tensors import Tensor

Save = Callable[..., Path]
VALUES = np.arange(8).reshape(1, 2, 4) / 8


@pytest.fixture
def fresh_runtime() -> object:
    """Forgets which runtime was found, before and after."""
    interpreter.runtime.cache_clear()
    yield
    interpreter.runtime.cache_clear()


def test_the_ends_of_a_model_are_known(save: Save) -> None:
    outputs = [Output(VALUES, "boxes"), Output([[0.5]], "scores", "int8", 1 / 256, -128)]

    made = Interpreter(str(save(build(outputs, size=(64, 48), dtype="uint8", scale=1 / 128, zero_point=128))))
    made.run()

    picture = made.inputs[0]
    assert (picture.name, picture.shape, picture.dtype) == ("picture", (1, 48, 64, 3), "uint8")
    assert (picture.scale, picture.zero_point) == (1 / 128, 128)
    assert [(t.name, t.shape, t.dtype) for t in made.outputs()] == [
        ("boxes", (1, 2, 4), "float32"),
        ("scores", (1, 1), "int8"),
    ]
    assert made.outputs()[1].range == (0, 255 / 256)


def test_shapes_are_those_after_the_run(save: Save) -> None:
    made = Interpreter(str(save(build([Output(VALUES, written=(1, 1, 4))]))))
    made.run()

    assert made.outputs()[0].shape == (1, 2, 4)


def test_what_is_written_into_the_input_is_computed_with(save: Save) -> None:
    made = Interpreter(str(save(build([Output([[1.0, 2.0]], colours=[[1, 0, 0], [0, 0, 10]])]))))

    made.input()[:] = [0.25, 0.5, 0.75]
    made.run()

    np.testing.assert_allclose(made.results()[0], [[1.25, 9.5]])


def test_a_whole_input_may_be_copied_in(save: Save) -> None:
    made = Interpreter(str(save(build([Output([[0.0]], colours=[[1, 0, 0]])]))))

    made.set(np.full((1, 64, 64, 3), 0.5, np.float32))
    made.run()

    assert made.results()[0].tolist() == [[0.5]]


def test_results_are_views_of_the_outputs(save: Save) -> None:
    made = Interpreter(str(save(build([Output([[0.0]], colours=[[1, 0, 0]])]))))
    seen = []
    for value in (0.5, 0.25):
        made.input()[:] = value
        made.run()
        seen.append(made.results()[0].item())

    assert seen == [0.5, 0.25]


def test_a_file_that_the_runtime_refuses_is_told(save: Save, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(
        ModelError, match=r"^model\.tflite: .* refuses it: Encountered unresolved custom op: Mine"
    ):
        Interpreter(str(save(build_custom("Mine"))))


def test_what_the_runtime_writes_to_standard_error_goes_to_the_log(
    save: Save, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG), logs.native(interpreter.log, "runtime"):
        os.write(2, b"INFO: Created delegate\n")

    assert caplog.messages == ["runtime: INFO: Created delegate"]
    assert capfd.readouterr().err == ""


def test_standard_error_is_given_back_after_a_refusal(save: Save, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError):
        Interpreter(str(save(build_custom("Mine"))))
    os.write(2, b"mine again\n")

    assert capfd.readouterr().err == "mine again\n"


def test_nothing_stays_open_behind_an_interpreter(save: Save) -> None:
    path = str(save(build([Output(VALUES)])))
    Interpreter(path)
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        Interpreter(path)

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_program_without_standard_error_opens_a_model_too(save: Save) -> None:
    code = "import os, sys; os.close(2); from edge_detect.interpreter import Interpreter; Interpreter(sys.argv[1])"

    done = subprocess.run(
        [sys.executable, "-c", code, str(save(build([Output(VALUES)])))], timeout=30, check=False
    )

    assert done.returncode == 0


def test_no_runtime_at_all_is_told_one_by_one(fresh_runtime: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in interpreter.RUNTIMES.values():
        monkeypatch.setitem(sys.modules, path, None)

    with pytest.raises(DependencyError) as caught:
        interpreter.runtime()

    assert str(caught.value) == (
        "no TFLite runtime (ai-edge-litert: import of ai_edge_litert"
        ".interpreter halted; None in sys.modules; tflite-runtime: import of tflite_runtime"
        ".interpreter halted; None in sys.modules): pip install ai-edge-litert"
    )


def test_the_second_runtime_is_taken_where_the_first_is_missing(
    fresh_runtime: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    package, module = ModuleType("tflite_runtime"), ModuleType("tflite_runtime.interpreter")
    monkeypatch.setattr(package, "__version__", "2.14.0", raising=False)
    monkeypatch.setitem(sys.modules, "tflite_runtime", package)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", module)

    assert interpreter.runtime() == ("tflite-runtime 2.14.0", module)


class Old:
    """A runtime that was compiled against another numpy, as tflite-runtime is against 1."""

    def __init__(self, model_path: str, num_threads: int) -> None:
        raise SystemError("<built-in method CreateWrapperFromFile> returned a result with an exception set")


def test_a_runtime_for_another_numpy_is_told(fresh_runtime: None, monkeypatch: pytest.MonkeyPatch) -> None:
    package, module = ModuleType("ai_edge_litert"), ModuleType("ai_edge_litert.interpreter")
    monkeypatch.setattr(package, "__version__", "0.0", raising=False)
    monkeypatch.setattr(module, "Interpreter", Old, raising=False)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", package)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)

    with pytest.raises(DependencyError) as caught:
        Interpreter("model.tflite")

    assert str(caught.value) == (
        f"ai-edge-litert 0.0 does not work with numpy {np.__version__}: pip install 'numpy<2'"
    )


def test_the_runtime_has_a_version() -> None:
    name, module = interpreter.runtime()

    assert name.split()[0] in interpreter.RUNTIMES
    assert name.split()[1][0].isdigit()
    assert module.__name__ in interpreter.RUNTIMES.values()


def test_a_tensor_is_described_in_plain_types(save: Save) -> None:
    made = Interpreter(str(save(build([Output(VALUES)]))))

    assert isinstance(made.inputs[0], Tensor)
    assert {type(side) for side in made.inputs[0].shape} == {int}
