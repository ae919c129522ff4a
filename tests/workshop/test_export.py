from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")
pytest.importorskip("ai_edge_quantizer")

import small_nets
from ai_edge_litert.interpreter import Interpreter

from edge_detect.errors import ModelError
from edge_detect.workshop import export

pytestmark = small_nets.LIBRARIES

IMAGE = small_nets.pictures(1)


@pytest.fixture(scope="module")
def plain() -> Any:
    """The small net without batch normalization."""
    return export.folded(small_nets.PLAN, export.fold(small_nets.float_net()))


def say(data: bytes, image: Any) -> list[Any]:
    """The outputs of a file."""
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]


def test_folding_leaves_the_answers_alone(plain: Any) -> None:
    before, after = small_nets.float_net()(IMAGE), plain(IMAGE)

    for name in ("boxes", "scores"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-4)


def test_a_folded_net_has_no_normalization(plain: Any) -> None:
    assert not [layer for layer in plain.layers if isinstance(layer, keras.layers.BatchNormalization)]


def test_a_file_says_what_keras_says(plain: Any) -> None:
    wanted = plain(IMAGE)

    found = {output.shape[-1]: output for output in say(export.to_tflite(plain), IMAGE)}

    np.testing.assert_allclose(found[4], wanted["boxes"], atol=1e-4)
    np.testing.assert_allclose(found[2], wanted["scores"], atol=1e-4)


def tiny() -> Any:
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Conv2D(2, 3)(image), name="tiny")


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_a_keras_file_becomes_one_of_the_runtime(tmp_path: Path, ending: str) -> None:
    model = tiny()
    model.save(place := tmp_path / f"m.{ending}")
    image = np.random.default_rng(0).normal(0, 1, (1, 8, 8, 3)).astype(np.float32)

    (found,) = say(export.keras_to_tflite(place), image)

    np.testing.assert_allclose(found, model(image), atol=1e-5)


def test_a_saved_model_becomes_a_file(tmp_path: Path) -> None:
    (model := tiny()).export(tmp_path / "m", verbose=False)
    image = np.ones((1, 8, 8, 3), np.float32)

    (found,) = say(export.saved_model_to_tflite(tmp_path / "m"), image)

    np.testing.assert_allclose(found, model(image), atol=1e-5)


def test_junk_is_no_keras_file(tmp_path: Path) -> None:
    (place := tmp_path / "m.keras").write_bytes(b"junk")

    with pytest.raises(ModelError, match=f"^{place}: expected a Keras model: [^\n]+$"):
        export.keras_to_tflite(place)


def test_an_empty_folder_is_no_saved_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"^{tmp_path}: expected a SavedModel: [^\n]+$"):
        export.saved_model_to_tflite(tmp_path)


def test_a_net_of_any_size_is_told(tmp_path: Path) -> None:
    image = keras.Input((None, None, 3))
    keras.Model(image, keras.layers.ReLU()(image), name="free").save(place := tmp_path / "m.keras")

    with pytest.raises(ModelError) as caught:
        export.keras_to_tflite(place)

    assert (
        str(caught.value) == "free: expected one input (batch, height, width, 3), got (None, None, None, 3)"
    )
