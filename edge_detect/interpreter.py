"""Interpreter: a TFLite runtime behind four calls."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_detect import logs
from edge_detect.errors import DependencyError, ModelError
from edge_detect.tensors import Tensor

log = logging.getLogger(__name__)

RUNTIMES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}


@cache
def runtime() -> tuple[str, Any]:
    """Name with version, and module, of the first runtime that imports.

    Raises:
        DependencyError: None imports; the message tells why, one by one.
    """
    failures = []
    for name, path in RUNTIMES.items():
        try:
            module = import_module(path)
        except Exception as error:  # noqa: BLE001 a wheel built for another numpy raises anything
            failures.append(f"{name}: {_first_line(error)}")
            continue
        for failure in failures:
            log.debug("runtime not used: %s", failure)
        return f"{name} {_version(name)}", module
    raise DependencyError(f"no TFLite runtime ({'; '.join(failures)}): pip install ai-edge-litert")


def _version(name: str) -> str:
    package = sys.modules[RUNTIMES[name].partition(".")[0]]
    found = getattr(package, "__version__", "")
    if found:
        return str(found)
    from importlib.metadata import PackageNotFoundError, version  # slow: only where needed

    try:
        return version(name)
    except PackageNotFoundError:
        return "of unknown version"


class Results(Sequence[npt.NDArray[Any]]):
    """The outputs of a run, each made visible when it is asked for."""

    def __init__(self, views: list[Callable[[], npt.NDArray[Any]]]) -> None:
        self._views = views

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, position: Any) -> Any:
        return self._views[position]()


class Interpreter:
    """A model in a runtime.

    Raises:
        ModelError: From the constructor: the runtime refuses the file.
    """

    def __init__(self, path: str, threads: int = 1) -> None:
        self.runtime, module = runtime()
        try:
            with logs.native(log, "runtime"):
                self._interpreter = module.Interpreter(model_path=path, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, TypeError, MemoryError) as error:
            raise ModelError(
                f"{os.path.basename(path)}: {self.runtime} refuses it: {_first_line(error)};"
                " convert it again with a current TensorFlow, or use another model"
            ) from error
        except SystemError as error:
            raise DependencyError(
                f"{self.runtime} does not work with numpy {np.__version__}: pip install 'numpy<2'"
            ) from error
        self.inputs = tuple(_tensor(d) for d in self._interpreter.get_input_details())
        self._views = [self._interpreter.tensor(d["index"]) for d in self._interpreter.get_output_details()]
        self._input: Any = self._interpreter.tensor(self.inputs[0].index) if self.inputs else None

    def input(self) -> npt.NDArray[Any]:
        """A view of the first input; to be dropped before `run`, which raises while one lives."""
        view: npt.NDArray[Any] = self._input()
        return view

    def set(self, numbers: npt.NDArray[Any]) -> None:
        """Copies a whole input of stored numbers in."""
        self._interpreter.set_tensor(self.inputs[0].index, numbers)

    def run(self) -> None:
        """Computes the outputs from the input; other Python threads go on meanwhile."""
        self._interpreter.invoke()

    def results(self) -> Results:
        """Views of the outputs, to be dropped before the next `run`: copy what is to stay."""
        return Results(self._views)

    def outputs(self) -> tuple[Tensor, ...]:
        """The outputs with the shapes that they have after a run."""
        return tuple(
            _tensor({**d, "shape": view().shape})
            for d, view in zip(self._interpreter.get_output_details(), self._views, strict=True)
        )


def _tensor(detail: dict[str, Any]) -> Tensor:
    scale, zero_point = detail["quantization"]
    return Tensor(
        int(detail["index"]),
        str(detail["name"]),
        tuple(int(side) for side in detail["shape"]),
        np.dtype(detail["dtype"]).name,
        float(scale),
        int(zero_point),
    )


def _first_line(error: BaseException) -> str:
    """The first statement of a runtime's message, which may repeat itself for every tensor."""
    text = " ".join(str(error).split()) or type(error).__name__
    for end in (".Tensor ", "Node number", ". "):
        text = text.split(end)[0]
    return text[:200].rstrip(" .")
