from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import sets

pytest.importorskip("ai_edge_litert")  # the older runtime does not show the tensors inside
import flatbuffers  # noqa: F401
from tflite_files import ADD, File, Output, build

from edge_detect.card import Input
from edge_detect.errors import DatasetError, InputMissing, ModelError
from edge_detect.graph import Graph
from edge_detect.tensors import Tensor
from edge_detect.workshop import calibration
from edge_detect.workshop.calibration import BINS, Seen

INPUT = Input(Tensor(0, "image", (1, 32, 32, 3), "float32"))


def seen(low: float, high: float, **heaps: float) -> Seen:
    """A histogram of heaps: `at_P` values in the part P of all."""
    counts = np.zeros(BINS, np.int64)
    for name, count in heaps.items():
        counts[int(name.removeprefix("at_"))] += int(count)
    return Seen(low, high, counts)


def folder(place: Path, count: int, size: tuple[int, int] = (64, 48), seed: int | None = None) -> str:
    """Pictures of noise; with a seed all the same."""
    for i in range(count):
        sets.draw(place / f"{i:02}.png", size, i if seed is None else seed)
    return str(place)


def test_min_max_keeps_all_that_was_seen() -> None:
    assert calibration.min_max(seen(-3, 5, at_0=1, at_2047=1)) == (-3, 5)


def test_percentile_cuts_a_rare_extreme_off() -> None:
    low, high = calibration.percentile(seen(0, 2048, at_10=10**6, at_2047=1))

    assert (low, high) == (0, pytest.approx(12, abs=1))


def test_percentile_keeps_an_extreme_that_is_not_rare() -> None:
    assert calibration.percentile(seen(-1, 1, at_0=500, at_2047=500)) == (-1, 1)


def test_percentile_cuts_at_both_ends() -> None:
    low, high = calibration.percentile(seen(-1024, 1024, at_0=1, at_1000=10**6, at_1100=10**6, at_2047=1))

    assert (low, high) == (pytest.approx(-24, abs=1), pytest.approx(77, abs=2))


def test_least_square_clips_one_far_value_among_many() -> None:
    low, high = calibration.least_square(seen(0, 1, at_100=10**7, at_2047=1))

    assert (low, high) == (0, pytest.approx(0.2))  # the narrowest that is tried


def test_least_square_keeps_what_is_spread_evenly() -> None:
    even = Seen(-1, 1, np.full(BINS, 100))

    low, high = calibration.least_square(even)

    assert (low, high) == (pytest.approx(-1, abs=0.02), pytest.approx(1, abs=0.02))


def test_least_square_errs_least_among_the_methods() -> None:
    values = np.random.default_rng(0).standard_t(3, 100_000).astype(np.float32)
    counts, _ = np.histogram(values, BINS, (values.min(), values.max()))
    one = Seen(float(values.min()), float(values.max()), counts)

    def error(ends: tuple[float, float]) -> float:
        step = (ends[1] - ends[0]) / 255
        return float(np.mean((np.round(np.clip(values, *ends) / step) * step - values) ** 2))

    assert error(calibration.least_square(one)) < error(calibration.min_max(one))


@pytest.mark.parametrize("method", calibration.METHODS)
@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
def test_a_tensor_that_never_moves_still_has_a_range(method: str, value: float) -> None:
    low, high = calibration.ranges({"t": seen(value, value, at_0=9)}, method)["t"]

    assert low <= min(value, 0) <= max(value, 0) <= high
    assert low < high or value < 0


@pytest.mark.parametrize(("low", "high", "expected"), [(2, 5, (0, 5)), (-5, -2, (-5, 0)), (0, 0, (0, 1e-6))])
def test_zero_lies_in_every_range(low: float, high: float, expected: tuple[float, float]) -> None:
    assert calibration.ranges({"t": seen(low, high, at_0=1)}, "min-max") == {"t": expected}


def test_pictures_are_laid_out_as_the_running_loop_does(tmp_path: Path) -> None:
    batch = calibration.pictures(folder(tmp_path, 9), INPUT, 100)

    assert (batch.shape, batch.dtype) == ((9, 32, 32, 3), np.float32)
    assert -1 <= batch.min() < -0.5 < 0.5 < batch.max() <= 1
    assert np.ptp(batch[:, :4]) < 0.01  # 64x48 in a square: a bar above


def test_the_drawing_is_the_same_every_time(tmp_path: Path) -> None:
    place = folder(tmp_path, 20)

    first, again, last = (calibration.pictures(place, INPUT, 8, last=last) for last in (False, False, True))

    assert np.array_equal(first, again)
    assert not any((one == other).all() for one in first for other in last)


def test_pictures_of_a_data_set_are_taken(tmp_path: Path) -> None:
    for i in range(8):
        sets.draw(tmp_path / f"images/{i}.png", seed=i)
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / f"labels/{i}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "data.yaml").write_text("names: [person]\ntrain: images\n")

    assert len(calibration.paths_of(str(tmp_path / "data.yaml"))) == 8


def failure(place: str) -> str:
    with pytest.raises(DatasetError) as caught:
        calibration.pictures(place, INPUT, 100)
    return str(caught.value)


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    place = folder(tmp_path, 7)

    assert failure(place) == f"--calibrate: {place}: expected at least 8 pictures, got 7"


def test_one_picture_many_times_is_refused(tmp_path: Path) -> None:
    place = folder(tmp_path, 9, seed=0)

    assert failure(place) == f"--calibrate: {place}: all 9 pictures are the same; use real ones"


def test_pictures_of_one_colour_are_refused(tmp_path: Path) -> None:
    for i in range(9):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((48, 64, 3), 126 + i % 3, np.uint8))

    assert failure(str(tmp_path)) == (
        f"--calibrate: {tmp_path}: the pictures are nearly uniform; use real ones"
    )


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputMissing) as caught:
        calibration.pictures(str(tmp_path / "none"), INPUT, 100)

    assert str(caught.value) == f"{tmp_path}/none: cannot read the data set: no such file or folder"


def test_pictures_far_smaller_than_the_input_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = folder(tmp_path, 8, (12, 12))

    with caplog.at_level(logging.WARNING):
        calibration.pictures(place, INPUT, 100)

    assert caplog.messages == [
        f"{place}: most pictures are less than half as large as the input 32x32; use some like the camera's"
    ]


def test_every_tensor_on_the_way_is_watched() -> None:
    data = build([Output([[1, 2]], "end", colours=[[1, 0, 0], [0, 0, 0]])], size=(8, 8))
    black, white = np.zeros((8, 8, 3), np.float32), np.ones((8, 8, 3), np.float32)

    found = calibration.watch(data, [black, white])

    assert (found["end"].low, found["end"].high) == (1, 2)
    assert (found["picture"].low, found["picture"].high) == (0, 1)
    assert found["end"].counts.sum() == 4


def test_a_tensor_that_hardly_moves_is_watched_too() -> None:
    colours = [[1e-6, 0, 0]]
    data = build([Output([[-4.6]], "end", colours=colours)], size=(8, 8))

    found = calibration.watch(data, [np.full((8, 8, 3), value, np.float32) for value in (0, 1)])

    assert found["end"].counts.sum() == 2


def test_what_the_runtime_refuses_is_told_in_one_line() -> None:
    file = File()
    ends = [file.tensor("a", (1, 2)), file.tensor("b", (1, 3)), file.tensor("c", (1, 2))]
    file.operator(ADD, ends[:2], ends[2:], kind=11, table={})
    file.subgraph(ends[:2], ends[2:])

    with pytest.raises(ModelError) as caught:
        calibration.Probe(file.data())

    assert str(caught.value).startswith("the runtime refuses the model: ")
    assert "\n" not in str(caught.value)


def test_parts_of_a_concatenation_get_the_range_of_the_whole() -> None:
    file = File()
    a, b = file.tensor("a", (1, 1, 2)), file.tensor("b", (1, 2))
    flat, whole = file.tensor("flat", (1, 2)), file.tensor("whole", (1, 4))
    file.operator(22, [a], [flat])
    file.operator(2, [flat, b], [whole], kind=10, table={0: np.int32(1)})
    file.subgraph([file.tensor("image", (1, 2))], [whole])
    found: calibration.Ranges = {"a": (0, 1), "flat": (0, 1), "b": (-2, 0), "whole": (-2, 1), "other": (0, 9)}

    joined = calibration.joined(Graph(file.data(), "m"), found)

    assert joined == dict.fromkeys(("a", "flat", "b", "whole"), (-2, 1)) | {"other": (0, 9)}


def test_a_picture_that_is_concatenated_keeps_its_range() -> None:
    file = File()
    image, made, whole = (
        file.tensor("image", (1, 2)),
        file.tensor("made", (1, 2)),
        file.tensor("whole", (1, 4)),
    )
    file.operator(2, [image, made], [whole], kind=10, table={0: np.int32(1)})
    file.subgraph([image], [whole])

    joined = calibration.joined(Graph(file.data(), "m"), {"image": (-1, 1), "made": (0, 9), "whole": (-1, 9)})

    assert joined == {"image": (-1, 1), "made": (-1, 9), "whole": (-1, 9)}


def test_a_value_that_is_no_number_is_told() -> None:
    data = build([Output(np.full((1, 2), np.nan, np.float32), "answer")], size=(8, 8), dtype="float32")

    with pytest.raises(ModelError) as caught:
        calibration.watch(data, np.zeros((2, 8, 8, 3), np.float32))

    assert "expected finite values, got nan to nan; are its weights broken" in str(caught.value)
