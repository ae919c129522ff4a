"""Running: a run from one Config, part of which can be changed while it lasts."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edge_detect import config, following, logs, rules, signals, uri, zones
from edge_detect.config import Config
from edge_detect.controls import Choice, Controls
from edge_detect.detector import Detector
from edge_detect.errors import ConfigError, EdgeDetectError, InputMissing
from edge_detect.facts import Facts
from edge_detect.following import Following
from edge_detect.heartbeats import Heartbeats
from edge_detect.layers import Settings
from edge_detect.meter import Meter
from edge_detect.newest import Newest
from edge_detect.outputs import Drawing, Outputs, Screen, open_window, wanted
from edge_detect.pipeline import frames_of, watch
from edge_detect.recording import open_kept, open_veil, refuse_pictures
from edge_detect.sources import open_source, wants_small

if TYPE_CHECKING:
    from edge_detect.frame import Frame
    from edge_detect.labels import Labels
    from edge_detect.model import Model
    from edge_detect.notices.desk import Notices
    from edge_detect.sinks import Sink
    from edge_detect.sources import Source
    from edge_detect.state import Kept
    from edge_detect.supervisor import Supervisor
    from edge_detect.web.server import Web

log = logging.getLogger(__name__)


def run(
    settings: Settings, open_model: Callable[[], Model], again: Callable[[], Settings], limit: int = 0
) -> int:
    """Runs until the source ends, the limit is reached or somebody stops it; the exit code.

    Args:
        settings: What to do.
        open_model: Gives the model that the settings name.
        again: Reads the settings anew, for SIGHUP.
        limit: Frames to look at; 0 for no limit.
    """
    chosen = settings.config
    refuse_pictures(settings)
    with settings.blame("source.uri"):
        source = open_source(chosen.source.uri)
    heartbeats = Heartbeats()
    with ExitStack() as stack:
        supervisors = _supervisors(heartbeats, stack)
        model = open_model()
        detect = Detector(model, chosen.detect.confidence, fit=chosen.model.fit)
        drawing = Drawing(model.labels)
        runtime = model.interpreter.runtime
        log.info("%s: %s, %s, %d threads", model.file.path.name, model.card.layout, runtime, model.threads)
        asked = stack.enter_context(signals.answered(reloads=bool(settings.documents or supervisors)))
        controls, kept = _controls(settings, model.labels, stack)
        veil = open_veil(settings, model.labels)
        kept_events = open_kept(settings, stack, live=source.live)
        with settings.blame("output.outputs"):
            outputs = stack.enter_context(closing(Outputs(chosen.output, drawing, source)))
        screen = stack.enter_context(closing(_screen(chosen.output, drawing, asked.stop.set)))
        facts = _facts(chosen, detect)
        page = _page(settings, controls, facts, heartbeats, stack)
        notices = _notices(settings, controls, facts, heartbeats, stack)
        frames = stack.enter_context(
            _frames(source, chosen.source, detect, heartbeats, replaceable=bool(supervisors))
        )
        facts.newest = newest = frames if isinstance(frames, Newest) else None
        listeners = following.open_lines(chosen, stack)
        facts.records, facts.recorder = kept_events.records, kept_events.recorder
        follower = following.follow(settings, detect, source, newest, controls, stack)
        facts.followed = follower is not None
        facts.counts = follower.counts if follower else dict
        every = logs.interval(chosen.log.every)
        meter = Meter(every, newest=newest, drawing=lambda: drawing.seconds, stats=chosen.log.stats)
        stack.enter_context(closing(meter))
        settings.keep()  # all that they name is there
        reload: Callable[[], None] = Reload(
            settings, again, controls, outputs, meter, kept, follower, *notices
        )
        for supervisor in supervisors:
            reload = supervisor.reloading()(reload)
            stack.callback(supervisor.close)  # before all others: from now on it ends
        onlookers = [*(one.unseen for one in supervisors), *(one.show for one in page)]
        sinks: list[Sink] = [
            *supervisors, *listeners, *kept_events.sinks, *notices, outputs, screen, *page
        ]  # fmt: skip
        watch(
            _attentive(frames, asked, reload), detect, sinks, meter,
            stop=asked.stop, limit=limit, idle=screen.poll, controls=controls, heartbeats=heartbeats,
            unseen=_each(onlookers), following=follower, veil=veil,
        )  # fmt: skip
    return 130 if asked.signal == signal.SIGINT else 0


def _each(looks: Iterable[Callable[[Frame], None]]) -> Callable[[Frame], None]:
    """Gives a frame to all of them."""

    def look(frame: Frame) -> None:
        for one in looks:
            one(frame)

    return look


def _screen(chosen: config.Output, drawing: Drawing, quit: Callable[[], None]) -> Screen:
    """The window, where the settings ask for one."""
    wanted = chosen.display and not chosen.headless
    return Screen((lambda: open_window(drawing, quit)) if wanted else None)


def _frames(
    source: Source, chosen: config.Source, detect: Detector, heartbeats: Heartbeats, *, replaceable: bool
) -> AbstractContextManager[Iterable[Frame | None]]:
    """The frames of the source, a live one read from now on."""
    fit_small_stream(source, detect)
    return frames_of(
        source,
        uri.public(chosen.uri),
        shrink=detect.shrink,
        give_up=chosen.give_up,
        heartbeats=heartbeats,
        replaceable=replaceable,
    )


def _facts(chosen: Config, detect: Detector) -> Facts:
    """What the page and the notices may tell of the run."""
    model = detect.model
    return Facts(
        model.file.path.name,
        model.file.sha256,
        model.interpreter.runtime,
        uri.public(chosen.source.uri),
        lambda: detect.timing,
        privacy=chosen.privacy,
    )


def _page(
    settings: Settings, controls: Controls, facts: Facts, heartbeats: Heartbeats, stack: ExitStack
) -> list[Web]:
    """The live page, where the settings ask for one; nothing of it is imported without."""
    if not settings.config.web.listen:
        return []
    from edge_detect.web.server import Web

    with settings.blame("web.listen"):
        page = Web(settings.config.web, controls, facts, heartbeats.expect("web"))
    return [stack.enter_context(closing(page))]


def _notices(
    settings: Settings, controls: Controls, facts: Facts, heartbeats: Heartbeats, stack: ExitStack
) -> list[Notices]:
    """Who is told of events, where the settings name somebody; nothing of it is imported without."""
    if not (named := config.notices(settings.config)):
        return []
    from edge_detect.notices.desk import open_notices

    if not settings.config.tracker.enabled:
        log.warning("[%s] will hear of nothing: tracker.enabled is false", "], [".join(named))

    notices = open_notices(settings, controls, facts, heartbeats)
    facts.notices = notices.all
    return [stack.enter_context(closing(notices))]


class Reload:
    """Reads the settings again and changes what can be changed in a run: all of it, or nothing.

    Attributes:
        settings: Those that hold in the run.
        done: Times that it worked.
        refused: Times that there was a mistake.
    """

    def __init__(
        self,
        settings: Settings,
        again: Callable[[], Settings],
        controls: Controls,
        outputs: Outputs,
        meter: Meter,
        kept: Kept | None = None,
        following: Following | None = None,
        notices: Notices | None = None,
    ) -> None:
        self.settings = settings
        self.done = self.refused = 0
        self._again, self._kept = again, kept
        self._controls, self._outputs, self._meter = controls, outputs, meter
        self._following, self._notices = following, notices

    def __call__(self) -> None:
        """Does so, and tells what has changed, what needs a restart, and all mistakes."""
        try:
            self._change(self._again())
        except EdgeDetectError as error:
            self.refused += 1
            for line in str(error).splitlines():
                log.error("settings not changed: %s", line)
        else:
            self.done += 1

    def _change(self, new: Settings) -> None:
        from edge_detect import schema  # with the settings files, which few runs have

        old = self.settings.config
        changed = [one for one in schema.settings() if one.of(new.config) != one.of(old)]
        switched = config.notices(old).keys() ^ config.notices(new.config).keys()  # on or off
        live = [one for one in changed if one.reload == "hot" and one.section not in switched]
        hot = {one.key: one.of(new.config) for one in live}
        if new.config.zones != old.zones:
            hot["zones"] = new.config.zones
        then = config.change(old, hot)
        examine(new, self._controls.labels.names)  # from here on only outputs can refuse
        with new.blame("detect.classes"):
            Controls(choice_of(then), self._controls.labels)  # refuses what cannot be
        exchanges = [self._notices.prepare(old, then)] if self._notices else []
        with new.blame("output.outputs"):
            exchanges.append(self._outputs.prepare(then.output))
        if self._following:
            self._following.change(then)
        for exchange in exchanges:
            exchange()
        self._choose(then, hot)
        self._meter.every = logs.interval(then.log.every)
        self.settings = replace(new, config=then)
        new.keep()
        told = [f"{one.key} = {one.show(one.of(new.config))}" for one in changed if one.key in hot]
        told += [f"zones: {', '.join(zone.name for zone in then.zones) or 'none'}"] * ("zones" in hot)
        log.info("settings read again: %s", ", ".join(told) or "nothing to change")
        if waiting := [one.key for one in changed if one.key not in hot]:
            log.warning("settings that need a restart: %s", ", ".join(waiting))

    def _choose(self, then: Config, hot: Mapping[str, Any]) -> None:
        """Changes the controls where the settings have changed; what the page chose stays elsewhere."""
        if self._kept:
            self._kept.settings = choice_of(then)
        given = {key.partition(".")[2]: value for key, value in hot.items() if key.startswith("detect.")}
        if "zones" in hot:
            given["zones"] = hot["zones"]
        if given:
            self._controls.change(**given)


def examine(settings: Settings, labels: Sequence[str] | None = None) -> None:
    """Checks what only sources and outputs themselves can tell of the settings.

    Args:
        settings: To check.
        labels: Names of the classes; None where the model is not known.

    Raises:
        ConfigError: All mistakes, a line each.
    """
    chosen = settings.config
    mistakes: list[ConfigError] = []
    checks: dict[str, Callable[[], object]] = {
        "source.uri": lambda: chosen.source.uri == "auto" or open_source(chosen.source.uri),
        "output.outputs": lambda: wanted(chosen.output),
        "privacy.no_pictures": lambda: refuse_pictures(settings),
        "zones": lambda: zones.check(chosen.zones, labels),
        "events": lambda: rules.check(chosen.events, (), labels),
        "motion.masks": lambda: [zones.polygon(text) for text in chosen.motion.masks],
    }
    if config.notices(chosen):
        from edge_detect.notices import desk

        checks |= desk.checks(chosen, labels)
    for key, check in checks.items():
        try:
            with settings.blame(key):
                check()
        except InputMissing:
            pass  # it may be there when it is needed
        except ConfigError as error:
            mistakes.append(error)
    if mistakes:
        raise type(mistakes[0])("\n".join(map(str, mistakes)))


def choice_of(chosen: Config) -> Choice:
    """What the controls begin with."""
    return Choice(chosen.detect.confidence, chosen.detect.classes, zones=chosen.zones)


def _controls(settings: Settings, labels: Labels, stack: ExitStack) -> tuple[Controls, Kept | None]:
    """What a person may change; the changes of a page or a broker are kept for the next start."""
    choice = choice_of(settings.config)
    with settings.blame("detect.classes"):
        controls = Controls(choice, labels)
    if not (settings.config.web.listen or settings.config.mqtt.host):
        return controls, None  # nobody can change them, nor see that they were changed
    from edge_detect.state import Kept

    kept = stack.enter_context(closing(Kept(choice, fixed=settings.fixed("detect"))))
    try:
        if kept.choice.zones != choice.zones:
            zones.check(kept.choice.zones, labels.names)
        controls = Controls(kept.choice, labels, kept.keep)
    except ConfigError as error:  # kept for another model
        log.warning("%s: not taken: %s", kept.path, error)
        controls = Controls(choice, labels, kept.keep)
    return controls, kept


def _supervisors(heartbeats: Heartbeats, stack: ExitStack) -> list[Supervisor]:
    """What tells systemd that the run is alive, closed by `stack`; none where systemd did not start us."""
    if "NOTIFY_SOCKET" not in os.environ:
        return []
    from edge_detect.supervisor import find

    return [stack.enter_context(closing(one)) for one in find(heartbeats)]


def _attentive(
    frames: Iterable[Frame | None], asked: signals.Asked, reload: Callable[[], None]
) -> Iterator[Frame | None]:
    """The frames; between two of them the settings are read again when that was asked for."""
    for frame in frames:
        if asked.reload.is_set():
            asked.reload.clear()
            reload()
        yield frame


def fit_small_stream(source: Source, detect: Detector) -> None:
    """Asks a camera that can for a small picture of just the size that the model looks at."""
    if wants_small(source):
        size = (source.width, source.height)
        if source.rotation % 180:  # the camera makes both pictures before they are turned
            height, width = detect.inner_size(size[::-1])
        else:
            width, height = detect.inner_size(size)
        source.small_width, source.small_height = width // 2 * 2, height // 2 * 2
