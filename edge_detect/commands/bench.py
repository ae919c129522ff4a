"""Bench: speed of a model and of the whole loop on this machine.

Blocks of the bare net and of the whole loop alternate in one run; the ratios say what the program
adds to the net, whatever else the machine is doing.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edge_detect.commands import arguments
from edge_detect.errors import ConfigError, InputMissing
from edge_detect.uri import public

if TYPE_CHECKING:
    from edge_detect.benchmark import Report
    from edge_detect.viewing import Report as Viewing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect bench`."""
    arguments.add_model(parser)
    parser.add_argument("-s", "--source", metavar="FILE", help="a video file")
    parser.add_argument(
        "--rounds", type=arguments.count, metavar="N", help="pairs of blocks (24; 4 with viewers)"
    )
    parser.add_argument(
        "--starts", type=arguments.count, default=5, metavar="N", help="pairs of program starts (5; 0: none)"
    )
    parser.add_argument(
        "--viewers", type=arguments.count, default=0, metavar="N",
        help="measure what N viewers of the live page cost instead, of whom two never read and one is slow",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def main(options: argparse.Namespace) -> int:
    """Measures and prints."""
    if options.rounds == 0:
        raise ConfigError("--rounds: expected 1 or more, got 0")
    if options.viewers:
        return _show_viewers(options)
    from edge_detect import benchmark

    if not options.source:
        raise ConfigError("the following arguments are required: -s/--source (see edge-detect bench --help)")
    if not Path(options.source).is_file():
        raise InputMissing(f"{public(options.source)}: expected a video file, there is none")
    model = arguments.open_model(options)
    report = benchmark.measure(
        model,
        options.source,
        confidence=options.confidence,
        rounds=options.rounds or 24,
        starts=options.starts,
    )
    print(json.dumps(asdict(report)) if options.json else text_of(report))
    return 0


def _show_viewers(options: argparse.Namespace) -> int:
    """Measures what viewers cost, and prints."""
    if options.viewers < 4:
        raise ConfigError(f"--viewers: expected 4 or more, got {options.viewers}")
    from edge_detect import viewing

    report = viewing.measure(
        arguments.open_model(options), viewers=options.viewers, rounds=options.rounds or 4
    )
    print(json.dumps(asdict(report)) if options.json else viewers_text(report))
    return 0


def viewers_text(report: Viewing) -> str:
    """The report for people."""
    closed = ", ".join(f"{seconds:.1f} s" if seconds else "never" for seconds in report.stalled_closed_s)
    return (
        f"{report.model} ({report.model_sha256[:16]}), {report.viewers} viewers, on {report.board}\n"
        f"inference rate   {report.rate_ratio:.3f} x without viewers"
        f" ({report.rate:.1f} / {report.rate_alone:.1f} a second)\n"
        f"fast viewer      {report.fast_fps:.1f} fps, shown after p50 {report.fast_p50_ms:.0f} ms\n"
        f"slow viewer      {report.slow_fps:.1f} fps, shown after p50 {report.slow_p50_ms:.0f} ms,"
        f" p95 {report.slow_p95_ms:.0f} ms\n"
        f"stalled viewers  closed after {closed}\n"
        f"memory           {report.rss_growth_mb:+.1f} MB\n"
        f"one viewer       {report.viewer_cpu_percent:.1f} % of a core"
    )


def text_of(report: Report) -> str:
    """The report for people."""
    stages = "  ".join(f"{name} {ms:.2f}" for name, ms in report.stages_ms.items())
    start = (
        f"start to first detection {report.startup_ratio:.2f} x imports + load + invoke"
        f" ({report.startup_s:.2f} s / {report.startup_bare_s:.2f} s)\n"
        if report.startup_ratio
        else ""
    )
    return (
        f"{report.model} ({report.model_sha256[:16]}), {report.runtime}, {report.threads} threads\n"
        f"{report.source} at {report.size[0]}x{report.size[1]} on {report.board}\n"
        f"loop CPU                 {report.loop_cpu_ratio:.3f} x the bare net"
        f" ({report.loop_cpu_ms:.2f} / {report.bare_cpu_ms:.2f} ms a frame)\n"
        f"live rate                {report.live_rate_ratio:.3f} x the bare net"
        f" ({report.live_rate:.1f} / {report.bare_rate:.1f} a second)\n"
        f"capture age              p50 {report.capture_age_p50_ms:.1f} ms,"
        f" p95 {report.capture_age_p95_ms:.1f} ms (a frame every {report.frame_interval_ms:.1f} ms)\n"
        f"invoke                   p50 {report.invoke_p50_ms:.1f} ms, p95 {report.invoke_p95_ms:.1f} ms\n"
        f"{start}stages, ms a frame       {stages}"
    )
