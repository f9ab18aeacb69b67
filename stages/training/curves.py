"""Training curves and final metrics of one run, by DVCLive, in the form that DVC compares and plots."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from stages.core.artefacts import write_json
from stages.core.errors import ValaroError
from stages.engine.lazy_imports import loaded_on_use
from stages.engine.progress import say
from stages.training.crossfit import is_by_fold
from stages.training.loop import EpochRecord, Fitted


def write_no_epochs(plots: Path, scores: Iterable[str] = ()) -> None:
    """The tables of a model that wasn't trained: the curves that DVC plots, of no epochs.

    Args:
        plots: folder of the tables, which must not exist yet.
        scores: those of validation.
    """
    for folder, names in (("train", ["loss"]), ("validation", scores)):
        for name in names:
            path = plots / folder / f"{name}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"step\t{name}\n", encoding="utf-8")


class Curves:
    """Log every epoch: to the console, and to one table per curve.

    Args:
        name: the model's name on the console.
        folder: temporary folder for DVCLive's files.

    Raises:
        ValaroError: the current git repository has no commit yet (a folder without git is fine).
    """

    def __init__(self, name: str, folder: Path) -> None:
        with loaded_on_use("pandas"):  # for tables in plots, which are none of ours
            from dvclive import Live
        from scmrepo.exceptions import SCMError

        self._name, self._folder = name, folder
        shutil.rmtree(folder, ignore_errors=True)  # a resumed run reports its past epochs again
        try:
            self._live = Live(
                dir=str(folder), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False
            )
        except SCMError as error:
            raise ValaroError(
                f"DVCLive, which logs the training, can't read this git repository ({error}). "
                "If it has no commit yet, run `git add --all && git commit --message start` first."
            ) from None

    def __enter__(self) -> "Curves":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.end()

    def __call__(self, record: EpochRecord) -> None:
        """Log one epoch."""
        self._live.log_metric("train/loss", record.train_loss)
        self._live.log_metric("train/learning_rate", record.learning_rate)
        shown = {score: value for score, value in record.scores.items() if not is_by_fold(score)}
        for score, value in shown.items():
            self._live.log_metric(f"validation/{score}", value)
        self._live.next_step()
        scores = ", ".join(f"{score} {value:.3f}" for score, value in shown.items())
        say(f"{self._name}: epoch {record.epoch}: loss {record.train_loss:.4f}, {scores}")

    def deliver(self, fitted: Fitted, plots: Path, metrics: Path, **facts: Any) -> None:
        """Write the results of the run.

        Args:
            fitted: the run.
            plots: folder of the tables, which must not exist yet.
            metrics: JSON file of the best scores, their epochs, and `facts`.
            facts: further values, of JSON types.
        """
        shutil.copytree(self._folder / "plots" / "metrics", plots)
        best = {
            score: {"epoch": best.epoch, "value": best.score}
            for score, best in fitted.best.items()
            if not is_by_fold(score)
        }
        write_json(metrics, {"best": best, "epochs": len(fitted.history), **facts})
