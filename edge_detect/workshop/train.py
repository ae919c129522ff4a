"""Train: a run, which is one folder with settings, checkpoint, curves and weights.

The loop is made of steps. All that a step depends on (weights, the optimizer's memory, averages,
the number of the step) is in the checkpoint, and all chance follows from the seed and that
number, so a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import logging
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from keras import ops

from edge_detect import __version__, durable
from edge_detect.errors import ConfigError, DatasetError
from edge_detect.workshop import (
    curves,
    distil,
    formats,
    net,
    prune,
    qat,
    start,
)
from edge_detect.workshop.average_precision import Precision
from edge_detect.workshop.batches import Batches, Teach, remember
from edge_detect.workshop.dataset import Dataset, keep
from edge_detect.workshop.net import Architecture
from edge_detect.workshop.run import Run
from edge_detect.workshop.settings import Settings, option
from edge_detect.workshop.trainee import Statistics, Trainee, cosine
from edge_detect.workshop.validation import validate

log = logging.getLogger(__name__)


def train(settings: Settings, folder: Path, tell: Callable[[str], None] = log.info, *, until: int = 0) -> Run:
    """Trains, or goes on with what is in the folder, until the epochs are over.

    Args:
        settings: What to train; must be those of the folder when it holds a run.
        folder: Of the run.
        tell: Takes a line of progress.
        until: Epoch after which to stop for now; 0 stops after the last. A later call goes on as if
            the training had not stopped.

    Raises:
        ConfigError: Settings that contradict each other or those of the folder.
        DatasetError: A data set that nothing can be learnt from.
        InputMissing: A file is not there.
    """
    run = Run(folder)
    keras.utils.set_random_seed(settings.seed)
    cv2.setNumThreads(1)  # samples are made side by side already
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    data, held = _sets(settings)
    plan = _begin(run, settings, data)
    if run.has_ended(settings, until):
        tell(f"{folder}: has ended already")
        return run
    with _policy(settings.precision):
        core = qat.build(plan, settings.quantize) if settings.quantize else net.build(plan)
    start.load_weights(core, plan, settings, data)
    net.freeze(core, settings.frozen, norms=settings.frozen_norms)
    beside, teach = _teacher(settings, plan)
    batches = Batches(
        data.pictures, plan.classes, plan.size, plan.anchors, settings.batch, settings.seed, settings.mosaics,
        settings.balance, teach,
    )  # fmt: skip
    trained = core
    if settings.remember:
        if beside:
            raise ConfigError("--remember: cannot be combined with --teacher, who wants to see each picture")
        batches = remember(batches, settings.remember, net.front(core, plan, settings.frozen), tell)
        trained = net.back(core, settings.frozen)
    model = Trainee(trained, settings, plan.anchors, beside)
    model.compile(optimizer=_optimizer(settings))
    _Loop(run, settings, plan, core, model, batches, held, tell).go(until)
    return run


def _sets(settings: Settings) -> tuple[Dataset, Dataset]:
    data = formats.read_all(settings.data)
    names = tuple(filter(None, settings.classes.split(","))) or data.classes
    data = keep(data, names)
    if not len(data) or not sum(data.counts().values()):
        raise DatasetError(f"--data: expected pictures with labels of {', '.join(names)}, got none")
    if not settings.validation:
        return data, replace(data, pictures=())
    held = formats.read_all(settings.validation)
    held = keep(held, [name for name in names if name in held.classes])
    if not sum(held.counts().values()):
        raise DatasetError(f"--validation: expected pictures with labels of {', '.join(names)}, got none")
    return data, held


def _begin(run: Run, settings: Settings, data: Dataset) -> Architecture:
    """The architecture: that of the folder's run, of the run to begin with, or a new one."""
    if run.settings_path.exists():
        old, plan, _ = run.settings()
        changed = [f.name for f in fields(Settings) if getattr(old, f.name) != getattr(settings, f.name)]
        if not changed:
            return plan
        if run.has_begun():  # else nothing is lost: what failed at once may be asked for in another way
            raise ConfigError(
                f"{run.folder}: holds a run with another {', '.join(map(option, changed))};"
                " give a new folder, or the same settings to go on"
            )
    plan = start.architecture(settings, data)
    durable.make_folder(run.folder)
    versions = {"edge_detect": __version__, "python": platform.python_version(), "keras": keras.__version__}
    versions |= {"backend": keras.backend.backend(), "numpy": np.__version__}
    document = {
        "settings": asdict(settings),
        "architecture": net.to_json(plan),
        "versions": versions,
        "pictures": len(data),
        "boxes": dict(data.counts()),
    }
    durable.write(run.settings_path, json.dumps(document, indent=1).encode())
    return plan


def _optimizer(settings: Settings) -> Any:
    optimizer = keras.optimizers.AdamW(
        settings.rate,
        weight_decay=settings.decay,
        global_clipnorm=10.0,
        use_ema=settings.average > 0,
        ema_momentum=settings.average or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    # without it, small gradients are zero in half precision (Micikevicius et al., arXiv:1710.03740, 3.2)
    return (
        keras.optimizers.LossScaleOptimizer(optimizer) if settings.precision == "mixed_float16" else optimizer
    )


@contextmanager
def _policy(precision: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _teacher(settings: Settings, plan: Architecture) -> tuple[keras.Model | None, Teach | None]:
    """The teacher as a net beside the pupil, or as a change of its targets."""
    if not settings.teacher:
        return None, None
    path = Path(settings.teacher)
    if beside := distil.twin(path, plan):
        return beside, None
    labels = Path(settings.teacher_labels) if settings.teacher_labels else None
    return None, distil.teacher(path, plan, settings.teacher_weight, labels)


class _Loop:
    """The steps of a run, from its checkpoint to its end."""

    def __init__(
        self, run: Run, settings: Settings, plan: Architecture, core: keras.Model, model: Trainee,
        batches: Batches, held: Dataset, tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._run, self._settings, self._plan = run, settings, plan
        self._core, self._model = core, model
        self._batches, self._held, self._tell = batches, held, tell
        self._total = settings.epochs * batches.per_epoch
        self._averaged = keras.callbacks.SwapEMAWeights() if settings.average else keras.callbacks.Callback()
        self._averaged.set_model(model)
        self._statistics = Statistics(core if settings.average else None, settings.average)
        # the sums of the losses are those since the last epoch
        self._state: dict[str, Any] = {"step": 0, "best": -1.0, "waited": 0, "rows": [], "sums": {}}

    def go(self, until: int) -> None:
        settings, model = self._settings, self._model
        model.optimizer.build(model.trainable_variables)
        self._restore()
        begun, first, saved = time.monotonic(), self._state["step"], time.monotonic()
        end = min(until * self._batches.per_epoch or self._total, self._total)
        for shown, wanted in self._batches(first, end):
            step = self._state["step"]
            model.optimizer.learning_rate = cosine(step, self._total, settings.rate, settings.warmup)
            logs = model.train_on_batch(shown, wanted, return_dict=True)
            step = self._state["step"] = step + 1
            self._statistics.follow()
            if settings.prune:
                prune.hold_zeros(model.core, prune.wanted_share(step, self._total, settings.prune))
            if not np.isfinite(logs["loss"]):
                raise self._lost(f"the loss became {logs['loss']}")
            sums = self._state["sums"]
            self._state["sums"] = {name: sums.get(name, 0.0) + float(value) for name, value in logs.items()}
            ended = step % self._batches.per_epoch == 0
            if ended:
                left = (time.monotonic() - begun) / (step - first) * (self._total - step)
                self._end_epoch(step // self._batches.per_epoch, left)
            elif step % 20 == 0:
                left = (time.monotonic() - begun) / (step - first) * (self._total - step)
                log.debug("step %d of %d, loss %.3f, %s left", step, self._total, logs["loss"], spell(left))
            if ended or time.monotonic() - saved >= settings.save:
                self._save()
                saved = time.monotonic()
            if settings.patience and self._state["waited"] >= settings.patience:
                self._tell(f"no gain in {settings.patience} measurements: ended early")
                break
        if not self._run.weights_path.exists():
            self._keep_best()
        if self._run.picture_path.exists():
            self._tell(f"curves: {self._run.picture_path}")

    def _end_epoch(self, epoch: int, left: float) -> None:
        settings = self._settings
        means = {name: value / self._batches.per_epoch for name, value in self._state["sums"].items()}
        self._state["sums"] = {}
        row = {
            "epoch": epoch,
            "rate": round(float(self._model.optimizer.learning_rate), 8),
            "loss": round(means["loss"], 5),
            "classes": round(means["classes"], 5),
            "boxes": round(means["boxes"], 5),
            "ap": "",
            "ap50": "",
        }
        if len(self._held) and (epoch % settings.validate == 0 or epoch == settings.epochs):
            found = self._keep_best()
            if found:
                row |= {"ap": round(found.ap, 4), "ap50": round(found.ap50, 4)}
        self._state["rows"].append(row)
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, row)
        writer.writeheader()
        writer.writerows(self._state["rows"])
        durable.write(self._run.curves_path, table.getvalue().encode())
        if row["ap"] != "" or epoch == settings.epochs:
            curves.training(self._run.curves_path, self._run.picture_path)
        measured = f", AP {row['ap']}, AP50 {row['ap50']}" if row["ap"] != "" else ""
        told = f"epoch {epoch} of {settings.epochs}: loss {row['loss']:.3f}{measured}"
        self._tell(f"{told}, {spell(left)} left")

    def _lost(self, what: str) -> DatasetError:
        return DatasetError(f"{self._run.folder}: {what} at step {self._state['step']}; use a lower --rate")

    def _keep_best(self) -> Precision | None:
        """Measures the averaged weights and keeps them when they are the best so far."""
        # the last step's update shows in no loss
        if not all(np.isfinite(values).all() for values in self._core.get_weights()):
            raise self._lost("a weight became no number")
        self._averaged.on_test_begin()
        self._statistics.swap()
        if self._settings.prune:  # an average of zeros is not quite zero
            share = prune.wanted_share(self._state["step"], self._total, self._settings.prune)
            prune.hold_zeros(self._core, share)
        try:
            found = validate(self._core, self._plan, self._held) if len(self._held) else None
            gain = found.ap50 if found else 0.0
            if gain > self._state["best"]:
                self._state |= {"best": gain, "waited": 0}
                part = self._run.weights_path.with_name("part.weights.h5")
                with durable.told(self._run.weights_path):
                    # h5py does not survive a full disk, so we look before it is
                    if shutil.disk_usage(part.parent).free < 8 * self._core.count_params():
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    self._core.save_weights(part)
                    os.replace(part, self._run.weights_path)
            else:
                self._state["waited"] += 1
        finally:
            self._averaged.on_test_end()
            self._statistics.swap()
        return found

    def _variables(self) -> list[Any]:
        return [*self._core.variables, *self._model.optimizer.variables]

    def _save(self) -> None:
        if not len(self._held):  # nothing to choose by: the newest is kept, when the run stops
            self._run.weights_path.unlink(missing_ok=True)
        values = {str(i): ops.convert_to_numpy(v) for i, v in enumerate(self._variables())}
        values |= {f"statistics{i}": values for i, values in enumerate(self._statistics.averages)}
        state = np.frombuffer(json.dumps(self._state).encode(), np.uint8)
        with durable.replaced(self._run.checkpoint_path) as file:
            np.savez(file, state=state, **values)

    def _restore(self) -> None:
        kept = self._run.checkpoint()
        if kept is None:
            return
        self._state, values = kept
        for i, variable in enumerate(self._variables()):
            variable.assign(values[str(i)])
        for i in range(len(self._statistics.averages)):
            self._statistics.averages[i] = values[f"statistics{i}"]
        self._tell(f"goes on at step {self._state['step']} of {self._total}")


def spell(seconds: float) -> str:
    """`1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
