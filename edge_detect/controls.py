"""Controls: what a person may change while the loop runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_detect import zones as places
from edge_detect.config import Zone
from edge_detect.detections import Detections
from edge_detect.errors import ConfigError
from edge_detect.labels import Labels
from edge_detect.lazy import suggest


@dataclass(frozen=True, slots=True)
class Choice:
    """One state of the controls.

    Attributes:
        confidence: Least score of a detection, 0..1.
        classes: Names to tell of; all without any.
        paused: Whether nothing is looked at.
        zones: Parts of the picture, and lines, that events tell of.
    """

    confidence: float
    classes: tuple[str, ...] = ()
    paused: bool = False
    zones: tuple[Zone, ...] = ()


class Controls:
    """The choice that holds now: read by the loop, changed from any thread, whole or not at all.

    Attributes:
        labels: Names that `classes` may have.
    """

    def __init__(
        self, choice: Choice, labels: Labels, changed: Callable[[Choice], None] = lambda choice: None
    ) -> None:
        """Begins with a choice.

        Args:
            choice: To begin with.
            labels: Names that `classes` may have.
            changed: Told of every new choice, in the thread that made it; keeps it, say.

        Raises:
            ConfigError: A confidence or class that cannot be.
        """
        self.labels = labels
        self._changed, self._alone = changed, threading.Lock()
        self._wanted = self._check(choice)
        self._choice = choice

    @property
    def choice(self) -> Choice:
        """What holds now."""
        return self._choice

    def change(
        self,
        *,
        confidence: float | None = None,
        classes: Sequence[str] | None = None,
        paused: bool | None = None,
        zones: Sequence[Zone] | None = None,
    ) -> Choice:
        """Changes what is given and leaves the rest; returns what holds then.

        Raises:
            ConfigError: A confidence, class or zone that cannot be; nothing has changed then.
        """
        given = {"confidence": confidence, "classes": classes, "paused": paused, "zones": zones}
        given = {name: value for name, value in given.items() if value is not None}
        if "classes" in given:
            given["classes"] = tuple(dict.fromkeys(classes or ()))
        if "zones" in given:
            given["zones"] = tuple(zones or ())
            places.check(zones or (), self.labels.names)
        with self._alone:
            choice = replace(self._choice, **given)  # type: ignore[arg-type]
            self._wanted, self._choice = self._check(choice), choice
            self._changed(choice)
            return choice

    def __call__(self, found: Detections) -> Detections:
        """Those of the detections that are wanted."""
        keep = (found.scores >= self._choice.confidence) & self.of_class(found)
        return found if keep.all() else found.pick(keep)

    def of_class(self, found: Detections) -> npt.NDArray[np.bool_]:
        """(n,) whether each of the detections is of a class that is wanted."""
        wanted = self._wanted
        return np.ones(len(found), bool) if wanted is None else np.isin(found.classes, wanted)

    def _check(self, choice: Choice) -> list[int] | None:
        """Numbers of the wanted classes; None for all."""
        if not 0 <= choice.confidence <= 1:
            raise ConfigError(f"confidence: expected 0 to 1, got {choice.confidence:g}")
        names = list(self.labels.names)
        for name in choice.classes:
            if name not in names:
                raise ConfigError(f"classes: unknown class '{name}'{suggest(name, names)}")
        if not choice.classes:
            return None
        return [number for number, name in enumerate(names) if name in choice.classes]
