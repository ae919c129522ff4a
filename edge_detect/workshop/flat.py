"""Flat: the flatbuffer of a `.tflite` file, opened to be changed and written again."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np


def opened(data: bytes) -> Any:
    """The `ModelT` that a file holds."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(bytearray(data), 0)


def written(model: Any, size: int = 0) -> bytes:
    """The file of a `ModelT`.

    Args:
        model: What to write.
        size: About how many bytes it will have.
    """
    builder = _Sharing(size + (1 << 16))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class _Sharing(flatbuffers.Builder):  # type: ignore[misc]
    """A builder that writes equal vectors of numbers once.

    Weights with a scale for each channel have as many zero points, 8 bytes each and all of them 0:
    a tenth of an int8 file.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._places: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: Any) -> int:  # noqa: N802 - the library's name
        if x.dtype == np.uint8:  # contents of buffers
            return int(super().CreateNumpyVector(x))
        key = x.dtype.str, x.tobytes()
        if key not in self._places:
            self._places[key] = int(super().CreateNumpyVector(x))
        return self._places[key]
