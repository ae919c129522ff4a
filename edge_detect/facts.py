"""Facts: what the page, the metrics and the notices may tell of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from edge_detect.config import Privacy
from edge_detect.detector import Timing
from edge_detect.newest import Newest

if TYPE_CHECKING:
    from edge_detect.records import Records
    from edge_detect.sinks.recorder import Recorder


class Notice(Protocol):
    """Who is told of events, as far as the page tells of it."""

    @property
    def name(self) -> str:
        """`mqtt`, `webhook`, `exec` or `gpio`; `mqtt` has `connected` as well."""

    @property
    def dropped(self) -> int:
        """Events that did not arrive."""


@dataclass(slots=True)
class Facts:
    """What a run is made of.

    Attributes:
        model: Name of its file.
        sha256: Of the model file.
        runtime: That runs it, with its version.
        source: For people, without its password.
        timing: Of the newest frame.
        newest: Of a live source, as soon as it is opened.
        counts: Who is here, in which zone, and who has crossed which line; as JSON has it.
        patience: Seconds that the newest frame, and the newest result, may be old.
        notices: Who is told of events.
        followed: Whether events tell that the camera is away and back.
        privacy: What nobody gets to see.
        records: The events that are kept; None where they are not.
        recorder: Makes pictures and clips of them; None without.
    """

    model: str = ""
    sha256: str = ""
    runtime: str = ""
    source: str = ""
    timing: Callable[[], Timing] = Timing
    newest: Newest | None = None
    counts: Callable[[], dict[str, Any]] = dict
    patience: float = 10.0
    notices: Sequence[Notice] = ()
    followed: bool = False
    privacy: Privacy = field(default_factory=Privacy)
    records: Records | None = None
    recorder: Recorder | None = None
