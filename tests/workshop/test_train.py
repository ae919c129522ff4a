from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
pytest.importorskip("ai_edge_quantizer")
pytest.importorskip("matplotlib")

import program
import small_nets
import squares

from edge_detect.errors import ConfigError, DatasetError, EdgeDetectError, InputMissing, ModelError, SinkError
from edge_detect.workshop import distil, net, prune, qat, start, train
from edge_detect.workshop.dataset import Label, Picture
from edge_detect.workshop.run import Run
from edge_detect.workshop.settings import Settings

pytestmark = small_nets.LIBRARIES


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A set of four pictures."""
    return squares.write(tmp_path_factory.mktemp("four"), 4)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The run of a float net of these classes."""
    return str(small_nets.run(tmp_path_factory.mktemp("parent"), small_nets.float_net()))


def short(data: str, **more: Any) -> Settings:
    """One step of four small pictures."""
    return Settings(data, **{"size": "32", "batch": 4, "epochs": 1, "anchors": 2} | more)


def rows(run: Run) -> list[dict[str, str]]:
    with run.curves_path.open(newline="") as file:
        return list(csv.DictReader(file))


def ended_well(run: Run) -> bool:
    return run.weights_path.exists() and all(np.isfinite(float(row["loss"])) for row in rows(run))


@pytest.mark.slow
def test_a_net_learns_to_find_squares(shared: Path, tmp_path: Path) -> None:
    data, told = squares.write(tmp_path, 16), list[str]()
    weights = shared / "weights" / "mobilenet_v2_0.35_imagenet_notop.weights.h5"
    if not weights.exists():
        pytest.skip(f"needs {weights}")
    settings = Settings(
        data, data, size="64", anchors=2, weights=str(weights), epochs=80, batch=8, rate=1e-2,
        average=0.9, validate=40,
    )  # fmt: skip

    run = train.train(settings, tmp_path / "run", told.append)

    found = rows(run)
    assert float(found[-1]["ap50"]) > 0.5
    assert [int(row["epoch"]) for row in found] == list(range(1, 81))
    assert [row["epoch"] for row in found if row["ap"]] == ["40", "80"]
    assert float(found[-1]["loss"]) < float(found[0]["loss"])
    assert told[-1] == f"curves: {run.picture_path}"


CHILD = """
import os, signal, sys
from pathlib import Path
import json
from edge_detect.workshop import train
from edge_detect.workshop.settings import Settings

def die(told):
    if told.startswith("epoch 2 "):
        os.kill(os.getpid(), signal.SIGKILL)

train.train(Settings(**json.loads(sys.argv[1])), Path(sys.argv[2]), die)
"""


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"frozen": 13, "remember": 2}], ids=["all", "remember"])
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    tmp_path: Path, four: str, more: dict[str, Any]
) -> None:
    settings = short(four, epochs=3, batch=2, save=0.0, average=0.9, **more)
    whole = train.train(settings, tmp_path / "a")
    words = [sys.executable, "-c", CHILD, json.dumps(asdict(settings)), str(tmp_path / "b")]
    end = subprocess.run(words, env=program.environment(), timeout=300, check=False, capture_output=True)
    told: list[str] = []

    resumed = train.train(settings, tmp_path / "b", told.append)

    assert end.returncode == -signal.SIGKILL
    assert "goes on at step 3 of 6" in told  # in the middle of an epoch
    with np.load(whole.checkpoint_path) as a, np.load(resumed.checkpoint_path) as b:
        assert a.files == b.files
        assert all(np.array_equal(a[name], b[name]) for name in a.files)
    assert rows(whole) == rows(resumed)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_run_that_stopped_at_an_epoch_goes_on_as_if_it_had_not(tmp_path: Path, four: str) -> None:
    # neither the pause nor what is kept at it is a measurement: those come every second epoch
    settings, told = short(four, validation=four, validate=2, epochs=3, batch=2, average=0.9), list[str]()
    whole = train.train(settings, tmp_path / "a")

    train.train(settings, tmp_path / "b", told.append, until=1)
    train.train(settings, tmp_path / "b", told.append, until=1)
    part = rows(Run(tmp_path / "b"))
    resumed = train.train(settings, tmp_path / "b", told.append)

    assert [(row["epoch"], row["ap"]) for row in part] == [("1", "")]
    assert f"{tmp_path / 'b'}: has ended already" in told
    assert "goes on at step 2 of 6" in told
    assert rows(whole) == rows(resumed)
    with np.load(whole.checkpoint_path) as a, np.load(resumed.checkpoint_path) as b:
        assert all(np.array_equal(a[name], b[name]) for name in a.files)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_without_validation_the_newest_state_is_kept(tmp_path: Path, four: str) -> None:
    settings, told = short(four, epochs=3, batch=2, average=0.9), list[str]()
    whole = train.train(settings, tmp_path / "a")

    for until in (1, 2):
        train.train(settings, tmp_path / "b", until=until)
    (tmp_path / "b" / "best.weights.h5").unlink()
    train.train(settings, tmp_path / "b", told.append, until=1)  # which is over
    resumed = train.train(settings, tmp_path / "b")

    assert told == ["goes on at step 4 of 6"]
    states = [run.model()[0].get_weights() for run in (whole, resumed)]
    assert all(np.array_equal(a, b) for a, b in zip(*states, strict=True))
    with np.load(whole.checkpoint_path) as a, np.load(resumed.checkpoint_path) as b:
        assert all(np.array_equal(a[name], b[name]) for name in a.files)


ANY = """
import json, sys
from pathlib import Path
import keras
from edge_detect.workshop import train
from edge_detect.workshop.settings import Settings

train.train(Settings(**json.loads(sys.argv[1])), Path(sys.argv[2]))
print(keras.backend.backend())
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jax", "torch"])
def test_another_back_end_trains_too(tmp_path: Path, four: str, name: str) -> None:
    pytest.importorskip(name)
    # the front of a remembered run, the decay and the averages are all computed by the back end
    settings = short(
        four, validation=four, epochs=2, batch=2, frozen=13, remember=1, class_loss="quality", box_loss="giou"
    )
    words = [sys.executable, "-c", ANY, json.dumps(asdict(settings)), str(tmp_path)]
    end = subprocess.run(
        words,
        env=program.environment(KERAS_BACKEND=name),
        timeout=300,
        check=False,
        capture_output=True,
        text=True,
    )

    assert end.stdout == f"{name}\n", end.stderr
    assert ended_well(Run(tmp_path))


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_run_without_gain_ends_early(tmp_path: Path, four: str) -> None:
    told: list[str] = []
    settings = short(four, validation=four, epochs=9, rate=1e-8, patience=1)

    run = train.train(settings, tmp_path, told.append)

    assert "no gain in 1 measurements: ended early" in told
    assert [(row["epoch"], float(row["ap50"])) for row in rows(run)] == [("1", 0), ("2", 0)]
    assert run.picture_path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "more",
    [
        {"precision": "mixed_bfloat16", "class_loss": "hard-negatives", "box_loss": "giou"},
        {"precision": "mixed_float16", "mosaics": 1.0},
        {"average": 0.0, "frozen": 13, "frozen_norms": True},
    ],
    ids=["bfloat16", "float16", "plain"],
)
def test_a_variant_ends_with_a_finite_loss(tmp_path: Path, four: str, more: dict[str, Any]) -> None:
    run = train.train(short(four, **more), tmp_path)

    assert ended_well(run)
    assert all(np.isfinite(values).all() for values in run.model()[0].get_weights())


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_precision_is_inside_and_whole_at_the_end(name: str) -> None:
    with train._policy(f"mixed_{name}"):
        model = net.build(small_nets.PLAN)

    layer = model.get_layer("block_3_expand")
    assert (layer.compute_dtype, layer.kernel.dtype) == (name, "float32")
    assert model.output["scores"].dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("size", [(32, 32), (32, 96)], ids=str)
def test_half_precision_has_a_gradient_where_a_map_is_one_column(size: tuple[int, int]) -> None:
    plan = replace(small_nets.PLAN, size=size)
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, size[1], size[0], 3)).astype(np.float32)
    with train._policy("mixed_bfloat16"):
        model = net.build(plan)
    kernels = [model.get_layer(f"extra_{i}_depthwise").kernel.value for i in range(3)]

    for _ in range(5):  # what nobody wrote is by chance a number
        with tf.GradientTape() as tape:
            answers = model(pictures, training=True)
            sum_ = tf.reduce_sum(answers["scores"] ** 2) + tf.reduce_sum(answers["boxes"] ** 2)
        for gradient in tape.gradient(sum_, kernels):
            # one column sees the middle of the kernel alone
            assert np.isfinite(gradient).all()
            assert not np.any(gradient[:, ::2])


def test_the_loss_of_float16_is_scaled() -> None:
    kinds = [type(train._optimizer(short("a", precision=p))).__name__ for p in ("mixed_float16", "float32")]

    assert kinds == ["LossScaleOptimizer", "AdamW"]


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_loss_that_is_no_number_is_told(tmp_path: Path, four: str) -> None:
    broken = net.build(small_nets.PLAN)
    broken.set_weights([values * np.nan for values in broken.get_weights()])
    base = small_nets.run(tmp_path / "base", broken)

    with pytest.raises(DatasetError) as caught:
        train.train(short(four, weights=str(base)), tmp_path / "run")

    assert str(caught.value) == f"{tmp_path}/run: the loss became nan at step 1; use a lower --rate"


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_weights_that_a_last_step_broke_are_not_kept(
    tmp_path: Path, four: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "cosine", lambda *_: 1e39)  # the loss of the only step comes before it

    with pytest.raises(DatasetError) as caught:
        train.train(short(four), tmp_path)

    assert str(caught.value) == f"{tmp_path}: a weight became no number at step 1; use a lower --rate"
    assert not Run(tmp_path).weights_path.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_run_of_fewer_channels_trains_and_converts(tmp_path: Path, four: str, parent: str) -> None:
    run = train.train(short(four, weights=parent, prune_channels=0.5), tmp_path)

    _, plan, _ = run.settings()
    assert sum(plan.hidden) < sum(small_nets.PLAN.hidden)
    assert distil.open_teacher(tmp_path).labels.names == small_nets.CLASSES


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_the_wanted_share_of_the_kept_weights_is_zero(tmp_path: Path, four: str, parent: str) -> None:
    run = train.train(short(four, weights=parent, prune=0.8), tmp_path)

    assert prune.sparsity(run.model()[0]) == pytest.approx(0.8, abs=0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_quantized_run_keeps_its_ranges(tmp_path: Path, four: str, parent: str) -> None:
    run = train.train(short(four, weights=parent, quantize="int8"), tmp_path)

    assert all(low < high for low, high in qat.grids(run.model()[0]).values())


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_teacher_changes_what_is_learnt(tmp_path: Path, four: str, parent: str) -> None:
    (place := tmp_path / "t.tflite").write_bytes(program.detector())
    losses = [
        rows(train.train(short(four, weights=parent, **more), tmp_path / name))[0]["classes"]
        for name, more in (("a", {}), ("b", {"teacher": str(place), "teacher_weight": 1.0}))
    ]

    assert losses[0] != losses[1]


def test_settings_of_the_folder_that_contradict_are_told(tmp_path: Path, four: str) -> None:
    folder = small_nets.run(tmp_path, small_nets.float_net())

    with pytest.raises(ConfigError) as caught:
        train.train(Settings(four, batch=4, frozen_norms=True), folder)

    assert str(caught.value) == (
        f"{folder}: holds a run with another --data, --batch, --frozen-norms;"
        " give a new folder, or the same settings to go on"
    )


def test_what_failed_before_its_first_step_may_be_asked_for_in_another_way(tmp_path: Path, four: str) -> None:
    with pytest.raises(InputMissing):
        train.train(short(four, weights="no.h5"), tmp_path)

    assert ended_well(train.train(short(four), tmp_path))


def test_a_run_that_cannot_be_written_is_told(tmp_path: Path, four: str) -> None:
    place = tmp_path / "run"
    place.write_text("a file")

    with pytest.raises(SinkError) as caught:
        train.train(short(four), place)

    assert str(caught.value) == f"{place}: cannot write: File exists"


@pytest.mark.parametrize(
    "blocked, name",
    [(".checkpoint.npz.part", "checkpoint.npz"), ("curves.csv", "curves.csv")],
    ids=["checkpoint", "curves"],
)
def test_a_file_of_a_run_that_cannot_be_written_is_told(
    tmp_path: Path, eager: None, four: str, blocked: str, name: str
) -> None:
    (tmp_path / blocked).mkdir()

    with pytest.raises(SinkError) as caught:
        train.train(short(four), tmp_path)

    assert str(caught.value) == f"{tmp_path / name}: cannot write: Is a directory"


@pytest.mark.parametrize(
    "more, kind, message",
    [
        ({"weights": "junk.h5"}, ModelError, "junk.h5: expected weights of a MobileNetV2 with alpha 0.35 without top"),
        ({"weights": "no.h5"}, InputMissing, "no.h5: cannot read the weights: no such file"),
        ({"weights": "run", "classes": "car"}, ConfigError, "--weights: a run with classes person, car, expected the same"),
        ({"weights": "int8"}, ConfigError, "--weights: int8 is a quantized run; expected a float one"),
        ({"weights": "."}, InputMissing, ".: expected the folder of a run, with settings.json"),
        ({"classes": "dog"}, DatasetError, "--classes: the set has no class 'dog', expected one of: car, person"),
    ],
    ids=["junk", "missing", "classes", "quantized", "folder", "class"],
)  # fmt: skip
def test_what_cannot_be_begun_with_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, four: str, more: dict[str, Any],
    kind: type[EdgeDetectError], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("junk.h5").write_bytes(b"junk" * 99)
    small_nets.run(Path("run"), small_nets.float_net())
    small_nets.run(Path("int8"), small_nets.float_net(), "int8")

    with pytest.raises(kind) as caught:
        train.train(short(four, **more), Path("made"))

    assert str(caught.value) == message


@pytest.mark.parametrize("option", ["data", "validation"])
def test_a_set_without_labels_is_told(tmp_path: Path, four: str, option: str) -> None:
    data = squares.write(tmp_path, 2, labels=False)

    with pytest.raises(DatasetError) as caught:
        train.train(replace(short(four), **{option: data}), tmp_path / "run")

    assert str(caught.value) == f"--{option}: expected pictures with labels of person, car, got none"
    assert not (tmp_path / "run").exists()


def test_anchors_fit_boxes_as_they_are_shown() -> None:
    picture = Picture(Path("a"), (200, 100), (Label("car", (0, 0, 100, 50)),), frozenset({"car"}))
    crowd = replace(picture, labels=(Label("car", (0, 0, 200, 100), ignore=True),))

    shapes = start.fit_shapes(train.Dataset(("car",), (picture,) * 50 + (crowd,)), (64, 64), short("a"))

    sides = np.array([shape for level in shapes for shape in level])
    assert sides.shape == (10, 2)
    np.testing.assert_allclose(sides[:, 1], sides[:, 0] * 2, rtol=0.01)  # letterboxed, it is twice as wide
    assert 0.25 / 1.5 - 0.01 <= sides[:, 0].min() <= sides[:, 0].max() <= 0.25 / 0.5 + 0.01


@pytest.mark.parametrize(
    "seconds, text", [(0, "0:00:00"), (59.6, "0:01:00"), (3723, "1:02:03"), (90000, "25:00:00")]
)
def test_time_is_spelt(seconds: float, text: str) -> None:
    assert train.spell(seconds) == text
