"""Labels: the names of a model's classes, whatever form the list has.

Wrong offsets are the most frequent labelling mistake of this field, so the forms are few and
named, and a list is fitted to the number of classes of the model.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

from edge_detect.errors import ConfigError

PLACEHOLDERS = frozenset({"", "???", "n/a", "unused", "background", "__background__"})
_BACKGROUND = frozenset({"???", "background", "__background__"})
_ID = re.compile(r"\d{1,9}")  # longer ones are no class numbers
_ID_NAME = re.compile(rf"({_ID.pattern})(?:\s*[:,]\s*|\s+)(\S.*)")
# COCO's 90 category ids have these gaps, counted from 0; 80 remain (cocodataset.org)
_COCO_GAPS = frozenset({11, 25, 28, 29, 44, 65, 67, 68, 70, 82})


@dataclass(frozen=True, slots=True)
class Labels:
    """Names by class number.

    Attributes:
        names: Class 0 first, background left out; a gap is an empty string.
        form: How the list was read, for people.
        ids: Whether the list wrote the numbers itself.
    """

    names: tuple[str, ...] = ()
    form: str = "no list"
    ids: bool = field(default=False)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, class_id: int) -> str:
        """The name of a class, or `class 7` where the list has none."""
        if 0 <= class_id < len(self.names) and self.names[class_id]:
            return self.names[class_id]
        return f"class {class_id}"


def parse(text: str, where: str) -> Labels:
    """Labels from a file's text.

    Forms: one name a line; `id name` a line; a first line `???` or `background`, which is
    dropped; a JSON list or mapping, also under `names`, `labels` or `categories`; the Python
    mapping that older Ultralytics exports embed.

    Raises:
        ConfigError: The text is of none of these forms.
    """
    text = text.lstrip("\ufeff")
    if "\0" in text:
        raise ConfigError(f"{where}: expected a text file with one label a line, got binary data")
    if text.lstrip().startswith(("{", "[")):
        return _from_data(_literal(text, where), where)
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise ConfigError(f"{where}: expected one label a line, got an empty file")
    pairs = [_ID_NAME.fullmatch(line) for line in lines if line]
    if all(pairs) and len({int(pair[1]) for pair in pairs if pair}) == len(pairs):
        return _from_ids({int(pair[1]): pair[2].strip() for pair in pairs if pair}, where, "id name")
    return _from_names(lines, "one name a line")


def _literal(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())  # literals only: nothing is run
    except (TypeError, ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise ConfigError(f"{where}: expected JSON labels, got text that does not parse") from error


def _from_data(data: Any, where: str) -> Labels:
    if isinstance(data, dict):
        inner = (data.get(key) for key in ("names", "labels", "categories"))
        data = next((part for part in inner if isinstance(part, dict | list)), data)
    if isinstance(data, list) and data and all(isinstance(row, str) for row in data):
        return _from_names(data, "JSON")
    pairs = [(_number(key), name) for key, name in _pairs(data)]
    if pairs and all(number is not None and isinstance(name, str) for number, name in pairs):
        return _from_ids(dict(pairs), where, "JSON")
    raise ConfigError(f"{where}: expected JSON with a list or a mapping of names")


def _pairs(data: Any) -> list[tuple[Any, Any]]:
    """What may be a number and a name: of a mapping, or of COCO's list of categories."""
    if isinstance(data, dict):
        return list(data.items())
    rows = data if isinstance(data, list) else []
    return [(row.get("id"), row.get("name")) if isinstance(row, dict) else (None, None) for row in rows]


def _number(key: Any) -> Any:
    """The class number that a key writes; None when it is none."""
    if isinstance(key, str) and _ID.fullmatch(key):
        return int(key)
    return key if isinstance(key, int) and 0 <= key < 10**9 else None


def _from_ids(names: dict[int, str], where: str, form: str) -> Labels:
    top = max(names)
    if top > 100_000:
        raise ConfigError(f"{where}: expected class numbers up to 100000, got {top}")
    rows = [names.get(number, "") for number in range(top + 1)]
    if 0 not in names:  # COCO and TensorFlow count their categories from 1
        return Labels(_blank(rows[1:]), f"{form}, counted from 1", ids=True)
    labels = _from_names(rows, form)
    return replace(labels, ids=True)


def _from_names(rows: list[str], form: str) -> Labels:
    if rows[0].lower() in _BACKGROUND:
        return Labels(_blank(rows[1:]), f"{form}, after a first line '{rows[0]}'")
    return Labels(_blank(rows), form)


def _blank(rows: list[str]) -> tuple[str, ...]:
    return tuple("" if row.strip().lower() in PLACEHOLDERS else row.strip() for row in rows)


def fit(labels: Labels, classes: int) -> tuple[Labels, str]:
    """Labels for a model of so many classes, and what there is to say about it.

    COCO's 80 names are spread over 90 class numbers with gaps, or 90 packed into 80, where that
    is what the model has.

    Args:
        labels: As parsed.
        classes: Classes of the model, background not counted; 0 when unknown.

    Returns:
        The labels to use, and one line that tells a mismatch; empty when all is well.
    """
    n = len(labels)
    if not n or not classes or n == classes:
        return labels, ""
    if n == 80 and classes in (90, 91):
        names = iter(labels.names)
        spread = tuple("" if i in _COCO_GAPS else next(names) for i in range(90))
        return replace(labels, names=spread, form=f"{labels.form}, 80 COCO names over 90 numbers"), ""
    packed = tuple(name for name in labels.names if name)
    if n in (90, 91) and len(packed) == classes == 80:
        return replace(labels, names=packed, form=f"{labels.form}, COCO's gaps left out"), ""
    if n > classes:
        return labels, f"{n} labels for a model of {classes} classes: the last {n - classes} are not used"
    return labels, f"{n} labels for a model of {classes} classes: the others are called 'class N'"
