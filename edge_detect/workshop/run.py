"""Run: the folder in which a training keeps all that it made."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np

from edge_detect.errors import DatasetError, InputMissing
from edge_detect.workshop import net, qat
from edge_detect.workshop.net import Architecture
from edge_detect.workshop.settings import Settings


class Run:
    """The folder of a run.

    Attributes:
        folder: Where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings_path = folder / "settings.json"
        self.checkpoint_path = folder / "checkpoint.npz"
        self.weights_path = folder / "best.weights.h5"
        self.curves_path = folder / "curves.csv"
        self.picture_path = folder / "curves.png"

    def settings(self) -> tuple[Settings, Architecture, dict[str, Any]]:
        """What the run was made with, the net, and the rest of what is written there.

        Raises:
            InputMissing: The folder is not that of a run.
        """
        try:
            data = json.loads(self.settings_path.read_text("utf-8"))
            return Settings(**data["settings"]), net.from_json(data["architecture"]), data
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputMissing(f"{self.folder}: expected the folder of a run, with settings.json") from error

    def has_begun(self) -> bool:
        """Whether there is something to go on with."""
        return self.checkpoint_path.exists() or self.weights_path.exists()

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]] | None:
        """Where the loop stood, and the arrays that go with it; None before the first one.

        Raises:
            DatasetError: The file is damaged.
        """
        try:
            with self.checkpoint_path.open("rb") as file, np.load(file) as kept:
                values = {name: kept[name] for name in kept.files}
            return json.loads(values.pop("state").tobytes()), values
        except FileNotFoundError:
            return None
        except (ValueError, EOFError, KeyError, BadZipFile, zlib.error) as error:
            raise DatasetError(
                f"{self.checkpoint_path}: damaged; delete it to begin this training again"
            ) from error

    def has_ended(self, settings: Settings, until: int = 0) -> bool:
        """Whether the training is over: by its epochs or those wanted for now, or by lack of gain."""
        kept = self.checkpoint()
        if kept is None:
            return False
        state, _ = kept
        early = bool(settings.patience) and state["waited"] >= settings.patience
        last = state["rows"][-1]["epoch"] if state["rows"] else 0
        wanted = min(until or settings.epochs, settings.epochs)
        return self.weights_path.exists() and (early or last >= wanted)

    def model(self) -> tuple[keras.Model, Architecture]:
        """The net with the best weights that the run has found."""
        settings, plan, _ = self.settings()
        model = qat.build(plan, settings.quantize) if settings.quantize else net.build(plan)
        if not self.weights_path.exists():
            raise InputMissing(f"{self.folder}: the run has no weights yet; let it validate once")
        model.load_weights(self.weights_path)
        return model, plan
