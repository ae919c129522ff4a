"""Card: what a model file is and how it will be read, in words that JSON can hold."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from edge_detect import pixel_values
from edge_detect.labels import Labels
from edge_detect.pixel_values import Normalization
from edge_detect.tensors import Tensor


@dataclass(frozen=True, slots=True)
class Input:
    """How a picture enters.

    Attributes:
        tensor: The input tensor; its shape is (1, height, width, 3).
        colour: `RGB` or `BGR`.
        normalization: What the net was trained on.
        padding: Grey value of the bars beside the picture.
    """

    tensor: Tensor
    colour: str = "RGB"
    normalization: Normalization = pixel_values.SIGNED
    padding: int = 128

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.tensor.shape[2], self.tensor.shape[1]


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a model file.

    Attributes:
        kind: `detector`, `classifier` or `unsupported`.
        reason: Why it was read so; for what is no detector, what it is and what to do.
        layout: Of a detector: the family and its traits.
        family: Key of `decoders.FAMILIES`; empty unless it is a detector.
        settings: Arguments of that decoder.
        input: How a picture enters; None when there is no such input.
        outputs: As they are after a run.
        labels: Embedded names.
        label_form: How those were written; empty without any.
        runtime: Name and version of the runtime that ran it; empty when none did.
    """

    kind: str
    reason: str
    layout: str = ""
    family: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    input: Input | None = None
    outputs: tuple[Tensor, ...] = ()
    labels: tuple[str, ...] = ()
    label_form: str = ""
    runtime: str = ""

    @property
    def embedded(self) -> Labels:
        """The names inside the file."""
        return Labels(self.labels, self.label_form or "no list")

    @property
    def word(self) -> str:
        """The layout as one word; empty unless it is a detector."""
        words = {
            "postprocess": f"ssd-postprocess-{str(self.settings.get('order', '')).lower()}",
            "ssd": "ssd-raw",
            "yolov5": str(self.settings.get("name", "")).lower(),
        }
        return words.get(self.family, self.family)


def to_json(card: Card) -> str:
    """The card as a line of JSON."""
    return json.dumps(asdict(card))


def from_json(text: str) -> Card:
    """The card that `to_json` wrote.

    Raises:
        ValueError, KeyError, TypeError: The text is something else.
    """
    data = json.loads(text)
    if data["input"] is not None:
        given = data["input"]
        data["input"] = Input(
            _tensor(given["tensor"]),
            given["colour"],
            Normalization(tuple(given["normalization"]["mean"]), tuple(given["normalization"]["std"])),
            given["padding"],
        )
    data["outputs"] = tuple(_tensor(row) for row in data["outputs"])
    data["labels"] = tuple(data["labels"])
    data["settings"] = {k: _tuple(v) for k, v in dict(data["settings"]).items()}
    return Card(**data)


def _tensor(data: dict[str, Any]) -> Tensor:
    return Tensor(**{**data, "shape": tuple(data["shape"])})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
