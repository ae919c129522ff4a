from __future__ import annotations

import gc
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras")
pytest.importorskip("ai_edge_quantizer")

import small_nets

from edge_detect.errors import DatasetError, InputMissing
from edge_detect.workshop.run import Run
from edge_detect.workshop.settings import Settings

pytestmark = small_nets.LIBRARIES


def test_a_run_gives_back_its_settings_and_net(tmp_path: Path) -> None:
    settings, plan, rest = Run(small_nets.run(tmp_path, small_nets.float_net())).settings()

    assert (settings.data, plan) == ("/home/someone/sets/train.json", small_nets.PLAN)
    assert rest["pictures"] == 7


def test_a_run_gives_back_its_best_weights(tmp_path: Path) -> None:
    given = small_nets.float_net()

    model, plan = Run(small_nets.run(tmp_path, given)).model()

    assert plan == small_nets.PLAN
    assert all(map(np.array_equal, model.get_weights(), given.get_weights()))


def test_a_quantized_run_gives_back_a_net_with_grids(tmp_path: Path) -> None:
    given = small_nets.rounded_net()

    model, _ = Run(small_nets.run(tmp_path, given, "int8")).model()

    image = small_nets.pictures(1)
    np.testing.assert_array_equal(model(image)["scores"], given(image)["scores"])


@pytest.mark.parametrize("text", [None, "", "[]", "{}", json.dumps({"settings": {"epochs": 3}})])
def test_a_folder_that_is_no_run_is_told(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "settings.json").write_text(text)

    with pytest.raises(InputMissing) as caught:
        Run(tmp_path).settings()

    assert str(caught.value) == f"{tmp_path}: expected the folder of a run, with settings.json"


def test_a_run_without_weights_is_told(tmp_path: Path) -> None:
    small_nets.run(tmp_path, small_nets.float_net())
    (tmp_path / "best.weights.h5").unlink()

    with pytest.raises(InputMissing) as caught:
        Run(tmp_path).model()

    assert str(caught.value) == f"{tmp_path}: the run has no weights yet; let it validate once"


@pytest.mark.parametrize("size", [0, 5, 5000])
def test_a_damaged_checkpoint_is_told(tmp_path: Path, size: int) -> None:
    run = Run(tmp_path)
    assert run.checkpoint() is None
    np.savez(run.checkpoint_path, state=np.frombuffer(b'{"step": 3}', np.uint8), **{"0": np.zeros(2000)})
    assert run.checkpoint() is not None
    run.checkpoint_path.write_bytes(run.checkpoint_path.read_bytes()[:size])

    with pytest.raises(DatasetError) as caught:
        run.has_ended(Settings("set.json"))

    assert str(caught.value) == (
        f"{tmp_path}/checkpoint.npz: damaged; delete it to begin this training again"
    )
    gc.collect()  # a file left open would be told now
