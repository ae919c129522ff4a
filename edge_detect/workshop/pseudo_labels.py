"""Pseudo-labels: a data set of pictures that a detector labelled, where nobody else did."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_detect.detector import Detector
from edge_detect.errors import DatasetError, InputMissing, SourceError
from edge_detect.frame import Frame
from edge_detect.model import Model
from edge_detect.pixels import read_picture
from edge_detect.workshop.dataset import Dataset, Label, Picture

log = logging.getLogger(__name__)


def label(
    paths: Sequence[Path], model: Model, least: float, tell: Callable[[str], None] = log.info
) -> Dataset:
    """A data set of unlabelled pictures, with a detector's sure finds as labels (pseudo-labels).

    What the detector half believes (from `least` / 2) becomes a region to leave alone. Pictures that
    cannot be read are logged and left out, and so are finds of a class without a name.

    Args:
        paths: Picture files.
        model: The detector.
        least: Score from which a find is taken for true.
        tell: Takes a line of progress.

    Raises:
        DatasetError: The detector has no names of its classes.

    Source: Lee, Pseudo-Label, ICML 2013 workshop.
    """
    detect = Detector(model, least / 2)
    names = tuple(dict.fromkeys(filter(None, model.labels.names)))
    if not names:
        raise DatasetError(
            f"{model.file.path.name}: has no names of its classes; give them with --labels FILE"
        )
    pictures = []
    for number, path in enumerate(paths):
        try:
            image = read_picture(path)
        except (InputMissing, SourceError) as error:
            log.warning("left out: %s", error)
            continue
        found = detect(Frame(image, 0.0, number, path.name))
        rows = zip(found.boxes, found.scores, found.classes, strict=True)
        labels = tuple(
            Label(
                model.labels[int(which)],
                (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                float(score) < least,
            )
            for box, score, which in rows
            if model.labels[int(which)] in names
        )
        size = (image.shape[1], image.shape[0])
        pictures.append(Picture(path, size, labels, frozenset(names), where=str(path)))
        if number % 200 == 199:
            tell(f"{number + 1} of {len(paths)} pictures labelled")
    return Dataset(names, tuple(pictures))
