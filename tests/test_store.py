from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import program
import pytest
from tflite_files import Output, build, build_crash

from edge_detect import store
from edge_detect.errors import ConfigError, EdgeDetectError, ModelError, SinkError
from edge_detect.store import Installed

DETECTOR = program.detector()
NAMELESS = program.detector(b"")


@pytest.fixture
def place(home: Path) -> Path:
    """The folder of the store, empty."""
    return home / "data/edge-detect/models"


def install(name: str = "a", data: bytes = DETECTOR, labels: bytes = b"") -> Installed:
    with store.locked("work"):
        return store.install(name, data, labels, "a test")


def running() -> str:
    """The name of the model that runs; empty for the shipped one."""
    manifest = store.active()
    return manifest.name if manifest else ""


def begin(times: int = 1) -> bool:
    """Begins with the active model, as a run does."""
    manifest = store.active()
    assert manifest
    return [store.began(manifest.model) for _ in range(times)][-1]


def test_an_empty_store_has_no_model_and_stays_empty(place: Path) -> None:
    assert (store.active(), list(store.installed())) == (None, [])
    assert not place.exists()


def test_an_installed_model_runs_and_has_a_manifest(place: Path) -> None:
    manifest = install("a", NAMELESS, b"cat\ndog\n")

    assert store.active() == manifest
    assert manifest.model.read_bytes() == NAMELESS
    assert manifest.labels
    assert manifest.labels.read_bytes() == b"cat\ndog\n"
    told = json.loads((place / manifest.key / "manifest.json").read_text())
    assert told.pop("time").endswith("Z")
    assert told == {
        "name": "a", "sha256": store.digest(NAMELESS), "size": len(NAMELESS),
        "labels_sha256": store.digest(b"cat\ndog\n"), "input": [64, 32], "layout": "ssd-postprocess-tf1",
        "origin": "a test",
    }  # fmt: skip


def test_the_same_model_with_other_labels_is_another(place: Path) -> None:
    one, two = install("a", NAMELESS, b"cat\ndog\n"), install("a", NAMELESS, b"dog\ncat\n")

    assert one.key != two.key
    assert store.active() == two
    assert one.fault() == two.fault() == ""


def test_a_model_that_is_there_is_not_written_again(place: Path) -> None:
    first = install("a")
    install("b")

    assert install("a") == first
    assert store.read_state().previous == store.key_of("b", store.digest(DETECTOR))


def test_installing_the_active_model_again_keeps_the_one_before(place: Path) -> None:
    install("a")
    install("b")
    install("b")

    assert store.rollback() == store.find(store.key_of("a", store.digest(DETECTOR)))


@pytest.mark.parametrize(
    "data, labels, message",
    [
        (b"rubbish", b"", "a.tflite: the file does not begin like a TFLite file, not a TFLite model; expected a .tflite file"),
        (b"", b"", "a.tflite: "),
        (DETECTOR[:2000], b"", "a.tflite: a damaged or truncated TFLite file; copy or download it again"),
        (build([Output(np.zeros((1, 10)))]), b"", "a.tflite: outputs [1, 10] look like a classifier, not a detector; use a detector"),
        (build_crash(), b"", "a.tflite: crashes the runtime (SIGSEGV) and was not loaded"),
        (DETECTOR, b"\0", "labels.txt: expected a text file with one label a line, got binary data"),
    ],
    ids=["rubbish", "empty", "truncated", "classifier", "crash", "no labels"],
)  # fmt: skip
def test_what_is_no_detector_is_refused_and_the_old_one_runs(
    place: Path, data: bytes, labels: bytes, message: str
) -> None:
    install("old")
    before = sorted(path.name for path in place.rglob("*"))

    with pytest.raises(EdgeDetectError) as caught:
        install("a", data, labels)

    assert message in str(caught.value)
    assert isinstance(caught.value, ConfigError if labels else ModelError)
    assert running() == "old"
    assert sorted(path.name for path in place.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["../x", "", ".", "..", "a/b", "a\0b", "/etc/passwd", "-rf", "a b", "x" * 65, "a\n", "é"]
)
def test_a_hostile_name_is_refused(place: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="expected letters, digits"):
        install(name)

    assert [path.name for path in place.iterdir()] == ["work.lock"]
    with pytest.raises(ConfigError, match="no installed model"):
        store.remove(name)


def test_the_name_of_a_file_in_a_manifest_cannot_lead_out(place: Path) -> None:
    manifest = install("a")
    path = place / manifest.key / "manifest.json"
    path.write_text(path.read_text().replace('"name": "a"', '"name": "../../../etc/a"'))

    assert running() == ""
    assert [found for _, found in store.installed()] == [None]


@pytest.mark.parametrize("victim", ["model", "labels"])
def test_a_flipped_bit_is_found_and_the_model_before_runs(
    place: Path, victim: str, caplog: pytest.LogCaptureFixture
) -> None:
    install("a")
    manifest = install("b", NAMELESS, b"cat\ndog\n")
    path = getattr(manifest, victim)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    assert manifest.fault() == (
        f"{path.name}: SHA-256 {store.digest(data)[:12]}...,"
        f" expected {(manifest.labels_sha256 if victim == 'labels' else manifest.sha256)[:12]}..."
    )
    assert running() == "a"
    assert f"model {manifest.key}: {manifest.fault()}; rolled back to a-" in caplog.text
    assert install("b", NAMELESS, b"cat\ndog\n").fault() == ""
    assert running() == "b"


def test_rollback_goes_there_and_back(place: Path) -> None:
    install("a")
    install("b")

    names = [manifest.name if manifest else "" for manifest in (store.rollback(), store.rollback())]

    assert names == ["a", "b"]
    assert running() == "b"


def test_the_first_model_is_rolled_back_to_the_shipped_one(place: Path) -> None:
    install("a")

    assert store.rollback() is None
    assert running() == ""
    assert store.rollback() == store.active() != None  # noqa: E711


def test_rollback_without_a_model_is_told(place: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to roll back to"):
        store.rollback()


def test_rollback_to_a_damaged_model_is_refused(place: Path) -> None:
    old = install("a")
    install("b")
    old.model.write_bytes(b"")

    with pytest.raises(ConfigError, match="damaged, cannot be rolled back to"):
        store.rollback()
    assert running() == "b"


def test_a_model_that_looked_at_a_picture_is_no_longer_on_trial(place: Path) -> None:
    manifest = install("a")

    assert begin()
    store.proved(manifest.model)
    assert not begin(5)
    assert running() == "a"


def test_a_new_model_that_never_gets_there_is_rolled_back(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = install("a")
    store.proved(old.model)
    new = install("b")

    begin()
    assert (running(), caplog.text) == ("b", "")
    begin()

    assert running() == "a"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert caplog.messages == [
        f"model {new.key}: began 2 times and never looked at a picture; rolled back to {old.key}"
    ]


def test_without_one_before_the_shipped_model_comes_back(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new = install("a")

    begin(2)

    assert running() == ""
    assert caplog.messages == [
        f"model {new.key}: began 2 times and never looked at a picture; rolled back to the shipped model"
    ]


def test_after_a_failed_trial_the_one_that_runs_is_the_one_before(place: Path) -> None:
    for name in ("a", "b"):
        install(name)
        store.proved(store.active().model)  # type: ignore[union-attr]
    install("bad")
    begin(2)
    install("c")
    begin(2)

    assert running() == "b"


def test_a_failed_model_may_be_tried_again(place: Path) -> None:
    install("a")
    begin(2)
    install("a")
    assert running() == "a"

    begin(2)
    store.rollback()
    store.rollback()
    assert running() == "a"


def test_a_model_that_is_named_is_not_on_trial(place: Path, tmp_path: Path) -> None:
    install("a")

    assert not store.began(tmp_path / "model.tflite")
    assert store.read_state().trials == {store.key_of("a", store.digest(DETECTOR)): 0}


def test_a_store_that_cannot_be_written_lets_the_model_run(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = install("a")
    (place / "state.lock").unlink()
    (place / "state.lock").mkdir()

    assert store.began(manifest.model)
    store.proved(manifest.model)

    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


@pytest.mark.parametrize("length", range(0, 101, 5))
def test_a_state_file_that_is_cut_falls_back_to_the_newest_model(
    place: Path, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = install("a")
    path = place / "state.json"
    data = path.read_bytes()
    path.write_bytes(data[: length * len(data) // 101])

    assert store.active() == manifest
    assert caplog.messages == [f"{path}: cannot be read; the model installed last is taken"]


@pytest.mark.parametrize(
    "text",
    [
        "null", "[]", '{"active": 1, "previous": "", "trials": {}}', '{"active": "", "previous": "", "trials": []}',
        '{"active": "../../etc", "previous": "", "trials": {}}', '{"active": "", "previous": "", "trials": {"a": "x"}}',
    ],
)  # fmt: skip
def test_a_state_that_makes_no_sense_is_told(
    place: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    install("a")
    (place / "state.json").write_text(text)

    assert running() == "a"
    assert "cannot be read" in caplog.text


def test_a_model_is_removed(place: Path) -> None:
    old = install("a")
    install("b")

    assert store.remove("a") == old.key

    assert not (place / old.key).exists()
    assert store.rollback() is None


def test_the_active_model_is_not_removed(place: Path) -> None:
    key = install("a").key

    with pytest.raises(ConfigError) as caught:
        store.remove("a")
    assert str(caught.value) == f"model {key} is the active one: edge-detect models rollback, then remove it"


def test_the_one_that_runs_since_the_active_one_failed_is_not_removed(place: Path) -> None:
    old = install("a")
    store.proved(old.model)
    install("bad")
    begin(2)

    with pytest.raises(ConfigError) as caught:
        store.remove("a")
    assert str(caught.value) == f"model {old.key} is the one that runs: install another one, then remove it"
    assert store.active() == old


def test_of_two_with_one_name_the_key_must_be_given(place: Path) -> None:
    one, two = install("a", NAMELESS, b"cat\ndog\n"), install("a")

    with pytest.raises(ConfigError, match="several models are called 'a', expected one of: "):
        store.remove("a")
    assert store.remove(one.key) == one.key
    assert store.active() == two


def test_two_at_once_are_refused(place: Path) -> None:
    script = "from edge_detect import store\nwith store.locked('work'): print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as other:  # type: ignore[call-overload]
        other.stdout.readline()
        with pytest.raises(SinkError) as caught:
            install("a")
        other.kill()

    assert (
        str(caught.value) == f"{place}/work.lock: another edge-detect holds it; try again when that is done"
    )
    assert other.wait(5)
    assert install("a").name == "a"


def test_a_disk_that_is_full_leaves_the_old_model(place: Path, small_disk: Path) -> None:
    install("old")
    (small_disk / "fill").write_bytes(bytes(900_000))
    before = sorted(path.name for path in place.rglob("*"))

    with pytest.raises(SinkError, match=r"\.tflite: cannot write: No space left on device"):
        install("new", DETECTOR + bytes(200_000))

    assert running() == "old"
    assert sorted(path.name for path in place.rglob("*")) == before


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    """A disk of 1 MB under the store."""
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who installs for a service")
def test_what_root_installs_belongs_to_the_user_of_the_service(place: Path) -> None:
    place.parent.mkdir(parents=True)
    os.chown(place.parent, 1234, 1234)
    umask = os.umask(0o077)
    try:
        install("a")
    finally:
        os.umask(umask)

    assert {(path.stat().st_uid, path.stat().st_gid) for path in (place, *place.rglob("*"))} == {(1234, 1234)}


KILLED = """
import json, os, signal, sys
from edge_detect import store

def act():
    exec(sys.argv[1])

calls = 0
def dying(call):
    def wrapped(*arguments, **more):
        global calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **more)
    return wrapped

real = {name: getattr(os, name) for name in ("fsync", "replace", "mkdir", "unlink", "rmdir")}
base = os.getcwd()
for last in range(1, 100):
    place = f"{base}/{last}"
    os.system(f"cp -a {base}/start {place}")
    os.environ["STATE_DIRECTORY"] = place
    child = os.fork()
    if not child:
        for name, call in real.items():
            setattr(os, name, dying(call))
        act()
        os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    manifest, state = store.active(), store.read_state()
    row = {"active": manifest and manifest.name, "previous": state.previous[:3], "trials": sorted(state.trials.values())}
    row["faults"] = [key for key, found in store.installed() if not found or found.fault()]
    act()  # and the same once more comes to its end
    row |= {"then": store.active().name, "left": [name for name in os.listdir(f"{place}/models") if name[0] == "."]}
    print(json.dumps(row))
    if not killed:
        break
"""


@pytest.fixture
def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[dict[str, object]]]:
    """What is found after an act was killed at its first change of the disk, at its second and so on."""

    def at_each_point(act: str) -> list[dict[str, object]]:
        (tmp_path / "new.tflite").write_bytes(NAMELESS)
        end = subprocess.run(
            [sys.executable, "-c", KILLED, act],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (end.returncode, "Traceback" in end.stderr) == (0, False)
        return [json.loads(line) for line in end.stdout.splitlines()]

    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "start"))
    store.proved(install("old").model)
    return at_each_point


INSTALL = """
with store.locked("work"):
    store.install("new", open(f"{base}/new.tflite", "rb").read(), b"cat", "a test")
"""


def test_an_installation_that_is_killed_anywhere_leaves_a_whole_model(
    killed: Callable[[str], list[dict[str, object]]],
) -> None:
    rows = killed(INSTALL)

    assert len(rows) > 10
    names = [row["active"] for row in rows]
    assert names == sorted(names, reverse=True)  # old ... old new ... new
    assert set(names) == {"old", "new"}
    assert all(row["faults"] == row["left"] == [] and row["then"] == "new" for row in rows)
    assert {(row["active"], row["previous"]) for row in rows} == {("old", ""), ("new", "old")}


def test_a_start_that_is_killed_anywhere_is_counted_or_not(
    killed: Callable[[str], list[dict[str, object]]],
) -> None:
    install("new", NAMELESS)

    rows = killed("store.began(store.active().model)")

    counts = [row["trials"] for row in rows]
    assert counts == sorted(counts)  # not yet ... counted
    assert {str(count) for count in counts} == {"[0]", "[1]"}
    assert {row["active"] for row in rows} == {"new"}


def test_a_proof_that_is_killed_anywhere_holds_or_not(
    killed: Callable[[str], list[dict[str, object]]],
) -> None:
    install("new", NAMELESS)

    rows = killed("store.proved(store.active().model)")

    assert {str(row["trials"]) for row in rows} == {"[0]", "[]"}
    assert {(row["active"], row["then"]) for row in rows} == {("new", "new")}
