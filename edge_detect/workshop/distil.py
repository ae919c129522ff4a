"""Distil: what another detector says of a picture, as targets for ours.

A net of ours with the same anchors teaches anchor by anchor, beside the pupil (`twin`); any other
detector through the boxes that it finds (`teacher`).
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from edge_detect import boxes as rectangles
from edge_detect.detections import Detections
from edge_detect.detector import Detector
from edge_detect.errors import ConfigError, ModelError
from edge_detect.frame import Frame
from edge_detect.model import Model, open_model
from edge_detect.workshop import targets
from edge_detect.workshop.batches import Teach
from edge_detect.workshop.net import Architecture
from edge_detect.workshop.samples import Sample
from edge_detect.workshop.targets import Targets

LEAST_SCORE = 0.1


def open_teacher(path: Path, labels: Path | None = None) -> Model:
    """A detector: a `.tflite` of any layout that the runtime reads, or a Keras model or run of ours.

    Raises:
        InputMissing, ModelError: There is none, or not one that we can run.
    """
    if path.suffix == ".tflite":
        return open_model(path, labels, threads=1)
    from edge_detect.workshop.convert import Options, convert, open_parent
    from edge_detect.workshop.quantize import SCHEMES

    with tempfile.TemporaryDirectory(prefix="edge-detect-") as folder:
        file = Path(folder) / "teacher.tflite"
        file.write_bytes(convert(open_parent(path), Options(scheme=SCHEMES["float32"]), None))
        return open_model(file, labels, threads=1)


def own_plan(path: Path) -> Architecture | None:
    """The architecture of a teacher that this workshop made, a run or a file; None of any other."""
    from edge_detect.workshop import transplant
    from edge_detect.workshop.run import Run

    if path.is_dir():
        settings, plan, _ = Run(path).settings()
        return None if settings.quantize else plan
    if path.suffix != ".tflite" or not path.exists():
        return None
    try:
        return transplant.architecture_of(path)
    except ModelError:
        return None


def twin(path: Path, plan: Architecture) -> keras.Model | None:
    """A teacher of ours as a net that answers at the pupil's own anchors; None where it has others.

    Args:
        path: The teacher: a run, or a file that this workshop wrote.
        plan: The pupil.
    """
    from edge_detect.workshop import export, transplant
    from edge_detect.workshop.run import Run

    known = own_plan(path)
    if known is None or (known.size, known.classes, known.shapes) != (plan.size, plan.classes, plan.shapes):
        return None
    weights = export.fold(Run(path).model()[0]) if path.is_dir() else transplant.weights_of(path)
    made = export.folded(known, weights, batch=None)
    made.trainable = False
    return made


def teacher(path: Path, plan: Architecture, weight: float, labels: Path | None = None) -> Teach:
    """Changes targets to a mixture of the truth and what a teacher sees in the very same sample.

    At an anchor that fits one of the teacher's boxes the wanted score becomes
    (1 - weight) x truth + weight x the teacher's score; where the truth has nothing, the
    teacher's word counts by its weight, and what neither sees stays background. Classes that the
    teacher does not know keep the truth.

    Args:
        path: The teacher.
        plan: The pupil.
        weight: The teacher's share, 0..1.
        labels: Names of the teacher's classes, where it has none of its own.

    Raises:
        ConfigError: Teacher and pupil share no class.

    Source: Hinton et al., arXiv:1503.02531, section 2 (soft targets); for detectors Chen et al.,
    Learning Efficient Object Detection Models with Knowledge Distillation, NeurIPS 2017, section 3.
    """
    model = open_teacher(path, labels)
    mapping = _classes(model, plan.classes, path)
    detect, alone = Detector(model, LEAST_SCORE), threading.Lock()
    around = targets.corners(plan.anchors)

    def teach(sample: Sample, wanted: Targets) -> Targets:
        with alone:  # one interpreter, several threads
            found = detect(Frame(sample.image, 0.0, 0, "sample"))
        return mixed(wanted, found, mapping, around, sample.size, weight)

    return teach


def _classes(model: Model, names: Sequence[str], path: Path) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Our class number for each of the teacher's, -1 for those that we do not learn."""
    known = list(model.labels.names)
    mapping = np.array([names.index(name) if name in names else -1 for name in known] or [-1])
    if (mapping < 0).all():
        raise ConfigError(
            f"--teacher: {path.name} finds {', '.join(known[:3]) or 'classes without names'} ...,"
            f" expected one of {', '.join(names)}; give --teacher-labels FILE"
        )
    return mapping


def mixed(
    wanted: Targets, found: Detections, mapping: np.ndarray[tuple[int], np.dtype[np.int64]],
    around: rectangles.Boxes, size: tuple[int, int], weight: float,
) -> Targets:  # fmt: skip
    """Targets between the truth and a teacher's detections.

    Args:
        wanted: The truth at n anchors.
        found: The teacher's word, in pixels of the sample.
        mapping: Our class for each of the teacher's; -1 for none.
        around: (n, 4) anchors, x1 y1 x2 y2 in 0..1.
        size: (width, height) of the sample.
        weight: The teacher's share.
    """
    named = (found.classes >= 0) & (found.classes < len(mapping))
    ours = np.where(named, mapping[np.clip(found.classes, 0, len(mapping) - 1)], -1)
    found, ours = found.pick(ours >= 0), ours[ours >= 0]
    taught = np.zeros_like(wanted.scores)
    if len(found):
        overlap = rectangles.iou(around, (found.boxes / np.array(size * 2, np.float32)).astype(np.float32))
        for j in np.argsort(found.scores):  # the surest last
            fits = overlap[:, j] >= 0.5
            taught[fits, ours[j]] = np.maximum(taught[fits, ours[j]], found.scores[j])
    known = np.isin(np.arange(wanted.scores.shape[1]), mapping)
    spoken = (wanted.care > 0) & known  # of what it has no name for, a teacher's silence says nothing
    scores = np.where(spoken, (1 - weight) * wanted.scores + weight * taught, wanted.scores)
    # classes that the set did not label: the teacher is all that we know
    alone = ~spoken & (taught > 0)
    scores = np.where(alone, taught, scores)
    care = np.where(alone, weight, wanted.care)
    return replace(wanted, scores=scores.astype(np.float32), care=care.astype(np.float32))
