"""Report: what was measured, as one HTML page that needs nothing but itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from edge_detect import __version__, board, durable
from edge_detect.workshop import curves, metadata, report_pictures
from edge_detect.workshop.curves import Panel
from edge_detect.workshop.dataset import Dataset
from edge_detect.workshop.evaluate import (
    ENOUGH,
    Evaluation,
    Result,
    enough,
    place_of,
    thresholds,
)

NONE = "\N{EN DASH}"
AT_LEAST = "\N{GREATER-THAN OR EQUAL TO}\N{NO-BREAK SPACE}"

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1c1e21; --dim: #5d646c; --paper: #fff; --line: #d9dde1; --band: #f3f5f7;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ea; --dim: #a2a9b0; --paper: #16181a; --line: #363b40; --band: #202326; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 1.2rem 1rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.2rem 0 .4rem; overflow-wrap: anywhere; }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
h4 { font-size: .875rem; font-weight: 600; margin: 1rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: .3rem 0 .8rem; max-width: 46rem; }
.dim, figcaption, caption { color: var(--dim); font-size: .875rem; }
.wide { overflow-x: auto; width: fit-content; max-width: 100%; }
.wide { border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; }
thead th { border-bottom: 1px solid var(--line); }
.wide th:first-child, td.text { text-align: left; }
.wide tr > :first-child { position: sticky; left: 0; background: var(--paper); max-width: 15rem; }
.wide thead th { white-space: normal; overflow-wrap: break-word; max-width: 11rem; }
.wide tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 8.5rem; }
.wide tbody tr:nth-child(even) > * { background: var(--band); }
td.hash { font-family: ui-monospace, monospace; font-size: .75rem; text-align: left; }
.row { display: grid; gap: .8rem; margin: .8rem 0 0; }
.row { grid-template-columns: repeat(auto-fit, minmax(min(100%, 230px), 1fr)); }
.row.big { grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); }
.row > * { max-width: 520px; }
figure { margin: 0 0 .6rem; min-width: 0; }
figcaption { overflow-wrap: anywhere; }
img { display: block; max-width: 100%; height: auto; border-radius: 4px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .9rem; margin: .6rem 0; }
dt { color: var(--dim); }
dd { margin: 0; overflow-wrap: anywhere; }
"""

# nothing is loaded from anywhere, and nothing in the page is run
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write(results: Sequence[Result], data: Dataset, place: Path) -> None:
    """Writes the page of models on one set; see `write_all`."""
    write_all([Evaluation(place_of(data), data, tuple(results))], place)


def write_all(evaluations: Sequence[Evaluation], place: Path) -> None:
    """Writes the page of models on one set or several.

    Raises:
        DependencyError: matplotlib is not installed.
        SinkError: The page cannot be written.
    """
    text = page(evaluations).encode("utf-8", "backslashreplace")
    durable.write(place, text)


def page(evaluations: Sequence[Evaluation]) -> str:
    """The page; everything that comes from files is escaped."""
    title = f"Detectors on {' and '.join(one.place for one in evaluations)}"
    parts = "\n".join(_section(evaluation, named=len(evaluations) > 1) for evaluation in evaluations)
    first = evaluations[0].results
    facts = {
        "machine": f"{board.name()}, {board.cores()} cores",
        "runtime": ", ".join(dict.fromkeys(result.model.card.runtime for result in first)),
        "threads": ", ".join(dict.fromkeys(str(result.model.threads) for result in first)),
        "made by": f"edge-detect {__version__} evaluate",
    }
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{_facts(facts)}\n{parts}\n{_files(evaluations[0])}\n"
        "</main>\n</body>\n</html>\n"
    )


def _facts(facts: dict[str, str]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    return f"<dl>{rows}</dl>"


def _section(evaluation: Evaluation, *, named: bool) -> str:
    """All about one set."""
    several = len(evaluation.results) > 1
    trade = _trade_off(evaluation) if several else ""
    return "\n".join(
        (
            f"<h2>{escape(evaluation.place)}</h2>" if named else "",
            f'<p class="dim">{len(evaluation.data)} pictures, {evaluation.boxes} boxes of'
            f" {len(evaluation.classes)} classes. AP is COCO's, over IoU .50 to .95, AP50 that at .50,"
            " both in percent. The models took turns on every picture; time is that of the net alone,"
            f" ms its median. AP50 of {AT_LEAST}{ENOUGH} leaves out the classes with fewer boxes, whose AP is"
            " mostly chance.</p>",
            "<h3>Size, speed, accuracy</h3>",
            _trade_table(evaluation),
            trade,
            "<h3>AP50 by class</h3>",
            _class_table(evaluation),
            "<h3>Best thresholds</h3>",
            '<p class="dim">The score from which on F1 is highest at IoU .50, with precision and recall'
            " there, in percent. Found on these very pictures, so others will give a little less.</p>",
            _threshold_table(evaluation),
            "<h3>Precision and recall at IoU .50</h3>",
            _panels(curves.recall_panels(evaluation)),
            "<h3>Pictures</h3>",
            report_pictures.samples(evaluation),
        )
    )


def _files(evaluation: Evaluation) -> str:
    rows = [
        [title, result.model.file.sha256, scheme_of(result)]
        for title, result in zip(evaluation.titles, evaluation.results, strict=True)
    ]
    return f"<h2>Files</h2>\n{_table(('model', 'SHA-256', 'scheme'), rows, ('', 'hash', 'text'))}"


def scheme_of(result: Result) -> str:
    """How a file was quantized, as it says itself; a dash when it does not."""
    told = metadata.origin(result.model.file.data).get("scheme")
    return str(told) if told else NONE


def reference(results: Sequence[Result]) -> Result:
    """The model that sizes and times are ratios of: the first in float32, else the largest file."""
    real = [result for result in results if scheme_of(result) == "float32"]
    return real[0] if real else max(results, key=lambda result: result.bytes)


def rival(result: Result, results: Sequence[Result]) -> Result:
    """The model that a loss is counted from: the float32 one of the same parent, else the first."""
    parent = metadata.origin(result.model.file.data).get("parent_sha256")
    for other in results:
        origin = metadata.origin(other.model.file.data)
        same = origin.get("scheme") == "float32" and origin.get("parent_sha256") == parent
        if parent and (same or other.model.file.sha256 == parent):
            return other
    return results[0]


def _trade_table(evaluation: Evaluation) -> str:
    results = evaluation.results
    base = reference(results)
    number = {id(result): i for i, result in enumerate(results, 1)}
    rows = []
    for title, result in zip(evaluation.titles, results, strict=True):
        other = rival(result, results)
        lost = _points(other.precision.ap50, result.precision.ap50)
        rows.append(
            [
                f"{number[id(result)]}. {title}",
                scheme_of(result),
                f"{result.bytes:,}",
                _ratio(result.bytes, base.bytes),
                f"{result.zipped_bytes:,}",
                f"{result.invoke_ms:.2f}",
                f"{result.invoke_p95_ms:.2f}",
                _ratio(result.invoke_ms, base.invoke_ms),
                _percent(result.precision.ap),
                _percent(result.precision.ap50),
                _percent(enough(result.precision)),
                NONE if other is result else f"{lost} to {number[id(other)]}",
            ]
        )
    times = f"x\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}{number[id(base)]}"
    heads = (
        "model", "scheme", "bytes", times, "zipped", "ms", "p95 ms", times,
        "AP", "AP50", f"AP50 of {AT_LEAST}{ENOUGH}", "AP50 lost, points",
    )  # fmt: skip
    return _table(heads, rows, ("", "text"))


def _class_table(evaluation: Evaluation) -> str:
    """AP50 of each class and model, and what it lost to the model that it is compared with."""
    results = evaluation.results
    rivals = [rival(result, results) for result in results]
    heads = ["class", "boxes"]
    for title, result, other in zip(evaluation.titles, results, rivals, strict=True):
        heads += [title] if other is result else [title, "lost"]
    rows = []
    for i, name in enumerate(evaluation.classes):
        if not results[0].precision.boxes[i]:
            continue
        row = [name, str(results[0].precision.boxes[i])]
        for result, other in zip(results, rivals, strict=True):
            mine, theirs = (one.precision.mean(iou=0, of=name) for one in (result, other))
            row += [_percent(mine)] if other is result else [_percent(mine), _points(theirs, mine)]
        rows.append(row)
    return _table(heads, rows) + _unseen(evaluation)


def _unseen(evaluation: Evaluation) -> str:
    """The classes of which there is no box, in a line of their own."""
    counts = zip(evaluation.classes, evaluation.results[0].precision.boxes, strict=True)
    names = ", ".join(name for name, count in counts if not count)
    return f'<p class="dim">Without a box in these pictures: {escape(names)}.</p>' if names else ""


def _threshold_table(evaluation: Evaluation) -> str:
    best = [thresholds(result.precision) for result in evaluation.results]
    rows = [
        [name, *(_threshold(found[name]) if name in found else NONE for found in best)]
        for name, count in zip(evaluation.classes, evaluation.results[0].precision.boxes, strict=True)
        if count
    ]
    return _table(("class", *evaluation.titles), rows)


def _threshold(best: tuple[float, float, float]) -> str:
    score, precision, recall = best
    return f"{math.floor(score * 100) / 100:.2f} ({_percent(precision)} / {_percent(recall)})"


def _percent(value: float) -> str:
    return NONE if math.isnan(value) else f"{value * 100:.1f}"


def _points(before: float, now: float) -> str:
    lost = (before - now) * 100
    return NONE if math.isnan(lost) else f"{lost + 0.0:.1f}"


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.2f}" if base else NONE


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], styles: Sequence[str] = ()) -> str:
    """A table that scrolls inside its box; the first column stays in sight.

    Args:
        heads: Of the columns.
        rows: Cells, as text: they are escaped here.
        styles: Class of the cells in the first columns.
    """
    names = [*styles, *[""] * len(heads)]
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = "\n".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(_cell(cell, names[i]) for i, cell in enumerate(row[1:], 1))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0"><table>\n<thead><tr>{top}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _cell(text: str, style: str) -> str:
    begin = f'<td class="{style}">' if style else "<td>"
    return f"{begin}{escape(text)}</td>"


def _trade_off(evaluation: Evaluation) -> str:
    return _panels(curves.trade_off(evaluation), "The numbers are those of the table.", (4.6, 3.6))


def _panels(panels: Sequence[Panel], caption: str = "", size: tuple[float, float] = curves.SIZE) -> str:
    """Diagrams, each a picture of its own, so that a phone shows them one below the other."""
    shown = "\n".join(
        report_pictures.figure(report_pictures.uri_of(curves.draw([panel], size), "png"), panel.title)
        for panel in panels
    )
    words = f'<p class="dim">{escape(caption)}</p>' if caption else ""
    return f'<div class="row big">\n{shown}\n</div>{words}'
