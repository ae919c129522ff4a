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

if TYPE_CHECKING:
    from edge_detect.benchmark import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect bench`."""
    arguments.add_model(parser)
    parser.add_argument("-s", "--source", required=True, metavar="FILE", help="a video file")
    parser.add_argument(
        "--rounds", type=arguments.count, default=24, metavar="N", help="pairs of blocks (24)"
    )
    parser.add_argument(
        "--starts", type=arguments.count, default=5, metavar="N", help="pairs of program starts (5; 0: none)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def main(options: argparse.Namespace) -> int:
    """Measures and prints."""
    from edge_detect import benchmark

    if options.rounds < 1:
        raise ConfigError("--rounds: expected 1 or more, got 0")
    if not Path(options.source).is_file():
        raise InputMissing(f"{options.source}: expected a video file, there is none")
    model = arguments.open_model(options)
    report = benchmark.measure(
        model,
        options.source,
        confidence=options.confidence,
        rounds=options.rounds,
        starts=options.starts,
    )
    print(json.dumps(asdict(report)) if options.json else text_of(report))
    return 0


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
