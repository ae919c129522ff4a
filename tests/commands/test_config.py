from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from program import run

from edge_detect import config, layers, manual, schema, settings_file, toml_lines
from edge_detect.cli import main


def own(home: Path, text: str) -> Path:
    path = home / "own.toml"
    path.write_text(text)
    return path


def told(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code and both outputs of `edge-detect config WORDS`."""
    code = main(["config", *map(str, words)])
    return code, *capsys.readouterr()


def test_init_writes_the_file_of_the_user(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "user/edge-detect/config.toml"

    assert told(capsys, "init") == (0, f"{path}\n", "")
    assert path.read_text() == manual.template()


def test_init_writes_where_it_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "new/folder/own.toml"

    assert told(capsys, "init", path) == (0, f"{path}\n", "")
    assert told(capsys, "check", path) == (0, f"{path}: no mistakes\n", "")


def test_init_prints_what_a_dash_is_to_take(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "init", "-") == (0, manual.template(), "")
    assert list(home.rglob("*")) == []


def test_init_writes_over_nothing_unless_forced(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own(home, "[log]\n")

    assert told(capsys, "init", path) == (
        2, "", f"edge-detect: error: {path}: is there already; --force writes over it\n"
    )  # fmt: skip
    assert path.read_text() == "[log]\n"
    assert told(capsys, "init", path, "--force")[0] == 0
    assert path.read_text() == manual.template()


def test_init_tells_what_cannot_be_written(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = own(home, "") / "own.toml"

    code, out, error = told(capsys, "init", place)
    assert (code, out) == (74, "")
    assert error == f"edge-detect: error: {place.parent}: cannot write: File exists\n"


def test_check_tells_all_mistakes_and_ends_with_78(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = own(home, "[detect]\nconfidence = 7\n[web]\ntoken = 'secret'\n")
    monkeypatch.setenv("EDGE_DETECT_LOG__EVERY", "x")

    assert told(capsys, "check", path) == (
        78,
        f"{path}:2: detect.confidence = 7: expected a number from 0 to 1\n"
        f"{path}:4: web.token: unknown setting, did you mean 'token_file'?\n"
        'EDGE_DETECT_LOG__EVERY: log.every = "x": expected a number of seconds from 0 to 1000000\n',
        "",
    )


def test_check_knows_what_sources_and_outputs_take(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own(home, "[source]\nuri = 'pattern:?widht=1'\n[output]\noutputs = ['a.gif']\n")

    code, out, _ = told(capsys, "check", path)
    assert code == 78
    assert [line.partition(" = ")[0] for line in out.splitlines()] == [
        f"{path}:2: source.uri", f"{path}:4: output.outputs"
    ]  # fmt: skip
    assert "unknown setting 'widht', did you mean 'width'?" in out


@pytest.mark.parametrize("uri", ["no.mp4", "auto", "v4l2:/dev/video99", "rtsp://nowhere/"])
def test_check_needs_no_camera(home: Path, capsys: pytest.CaptureFixture[str], uri: str) -> None:
    path = own(home, f"[source]\nuri = '{uri}'\n")

    assert told(capsys, "check", path) == (0, f"{path}: no mistakes\n", "")


def test_check_finds_damage_that_a_run_survives(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own(home, "[log]\nevery = 1\n")
    layers.read(str(path)).keep()
    path.write_text("[log\n")

    code, out, _ = told(capsys, "check", path)
    assert (code, out.startswith(f"{path}:")) == (78, True)


def test_check_says_where_it_looked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    looked = f"{home}/etc/config.toml, {home}/user/edge-detect/config.toml"

    assert told(capsys, "check") == (0, f"no settings file: looked for {looked}\n", "")


def test_check_of_a_file_that_is_not_there_ends_with_66(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = told(capsys, "check", "no.toml")

    assert (code, out) == (66, "")
    assert error.startswith("edge-detect: error: --config no.toml: no such file")


def test_show_prints_a_file_that_says_the_same(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own(home, "[detect]\nclasses = ['a b', 'c\"d']\n[log]\nevery = 3\n")

    code, out, _ = told(capsys, "show", path)
    assert code == 0
    other = home / "other.toml"
    other.write_text(out)
    assert layers.read(str(other)).config == layers.read(str(path)).config != config.Config()


def test_show_tells_where_each_value_comes_from(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = own(home, "[log]\nevery = 3\n")
    monkeypatch.setenv("EDGE_DETECT_MODEL__THREADS", "2")

    _, out, _ = told(capsys, "show", "--origin", path)

    origins = dict(origins_of(tomllib.loads(out), out))
    assert len(origins) == len(schema.settings())
    assert origins["log.every"] == f"{path}:2"
    assert origins["model.threads"] == "EDGE_DETECT_MODEL__THREADS"
    assert origins["log.stats"] == "default"
    assert tomllib.loads(out)["log"]["every"] == 3


def origins_of(tables: dict[str, Any], text: str) -> Iterator[tuple[str, str]]:
    """The key of each line of a file, and its comment."""
    for line, row in toml_lines.lines(text).items():
        if len(line) == 2 and isinstance(tables[line[0]], dict):
            yield ".".join(map(str, line)), text.splitlines()[row - 1].rpartition("  # ")[2]


def test_show_names_files_of_secrets_and_no_secret(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "token").write_text("hunter2")
    path = own(home, f"[source]\nuri = 'rtsp://me:hunter2@cam'\n[web]\ntoken_file = '{home}/token'\n")
    path.write_text(f"{path.read_text()}[exec]\ncommand = ['curl', 'https://me:hunter2@host/']\n")

    _, out, _ = told(capsys, "show", path)
    assert "hunter2" not in out
    assert 'uri = "rtsp://me:***@cam"\n' in out
    assert f'token_file = "{home}/token"\n' in out


def test_show_takes_the_good_copy_as_a_run_would(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own(home, "[log]\nevery = 3\n")
    layers.read(str(path)).keep()
    path.write_text("")

    _, out, _ = told(capsys, "show", "--origin", path)
    assert f"# {settings_file.copy_of(path)}:2\n" in out


def test_the_example_in_the_readme_has_no_mistakes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    path = own(home, readme.partition("```toml\n")[2].partition("```")[0])

    assert told(capsys, "check", path)[0] == 0
    assert layers.read(str(path)).config != config.Config()


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, error = told(capsys, "schema")

    assert (code, json.loads(out), error) == (0, manual.json_schema(), "")


@pytest.mark.parametrize(
    "words, said",
    [((), "the following arguments are required: ACT"), (("chek",), "argument ACT: invalid choice: 'chek'")],
)
def test_an_act_is_needed(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str) -> None:
    code, out, error = told(capsys, *words)

    assert (code, out) == (2, "")
    assert error.startswith(f"edge-detect: error: {said}")


def test_the_settings_command_needs_no_numpy(home: Path) -> None:
    for act in (["init"], ["show"], ["schema"]):
        end = run("config", *act, env={"PYTHONPROFILEIMPORTTIME": "1"})

        assert end.returncode == 0
        assert "edge_detect.config" in end.stderr
        assert "numpy" not in end.stderr


def test_zones_are_shown_as_they_would_be_read_again(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own(
        home, "[[zones]]\nname = 'a'\npoints = [[0, 0.5], [1, 0.5]]\nkind = 'line'\n[[zones]]\nname='b'\n"
    )

    _, out, _ = told(capsys, "show", path)

    other = home / "other.toml"
    other.write_text(out)
    zones = layers.read(str(other)).config.zones
    assert zones == layers.read(str(path)).config.zones
    assert [zone.name for zone in zones] == ["a", "b"]
    assert zones[0].points == ((0.0, 0.5), (1.0, 0.5))
