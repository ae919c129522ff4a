from __future__ import annotations

import json
from pathlib import Path

import program
import pytest
from program import run


def findings(text: str) -> dict[str, dict[str, str]]:
    return {row["what"]: row for row in map(json.loads, text.splitlines())}


def test_a_machine_in_order_is_told_in_json(desk: Path) -> None:
    end = run("doctor", "-m", "model.tflite", "--json")

    found = findings(end.stdout)
    assert (end.returncode, end.stderr) == (0, "")
    assert {"python", "numpy", "runtime", "opencv", "USB camera", "display", "disk", "model"} <= found.keys()
    assert found["model"]["detail"].startswith("model.tflite: SSD with TFLite_Detection_PostProcess")


def test_what_is_not_well_comes_with_what_to_do(desk: Path) -> None:
    found = findings(run("doctor", "--json").stdout)

    assert {row["state"] for row in found.values()} <= {"ok", "note", "fail"}
    assert [row for row in found.values() if bool(row["fix"]) == (row["state"] == "ok")] == []


def test_words_show_the_remedy_below_the_finding(desk: Path) -> None:
    end = run("doctor", "-m", "no.tflite")

    assert end.returncode == 1
    assert end.stdout.endswith(
        "fail  model        no.tflite: cannot read the model: No such file or directory;"
        " give a .tflite file with --model\n"
        "                   -> give another file, or mend what failed above\n"
    )


@pytest.mark.parametrize(
    "name, packages",
    [
        ("numpy", ["numpy"]),
        ("opencv", ["cv2"]),
        ("runtime", ["ai_edge_litert", "tflite_runtime"]),
        ("psutil", ["psutil"]),
        ("CSI camera", ["picamera2"]),
    ],
    ids=str,
)
def test_a_broken_package_does_not_stop_the_doctor(desk: Path, name: str, packages: list[str]) -> None:
    (desk / "broken").mkdir()
    kind = "ValueError" if name == "CSI camera" else "ImportError"  # as when built for another numpy
    for package in packages:
        (desk / f"broken/{package}.py").write_text(f"raise {kind}('broken')")

    end = run("doctor", "-m", "model.tflite", "--json", env=program.before_all(desk / "broken"))

    found = findings(end.stdout)
    assert (end.returncode, "Traceback" in end.stderr, found[name]["state"]) == (1, False, "fail")
    assert "broken" in found[name]["detail"]
    assert "pip install" in found[name]["fix"]
    assert list(found)[-1] == "model"
