"""Scores against the values of one parameter: a table and a curve from DVC's experiments.

Only what can be compared is: experiments that finished, from the same commit, that differ from it in this one
parameter among those that can change the figure. (DVC shows a failed or a queued experiment with the commit's
figures, as if they were its own.)
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core.errors import ValaroError
from stages.evaluation.upstream import flat, parameters_behind

COMMIT, WORKSPACE = "commit", "workspace"
BEST_CCC = ("best.valence_ccc.value", "best.arousal_ccc.value", "best.mean_ccc.value")
DEFAULT_METRICS = {
    section: tuple(f"metrics/{section}/metrics.json:{key}" for key in BEST_CCC)
    for section in ("dynamic", "cross_attention")
}
"""The default figure by section of the parameters: that of the section's training."""
DEFAULT_METRIC = ("metrics/scores.json:mean",)
"""Of all other sections: the best system's mean CCC on validation."""


@dataclass(frozen=True)
class Sweep:
    """The effect of a parameter.

    Args:
        parameter: its name, dotted.
        metrics: names of the figures, `file:key`.
        rows: experiment, value of the parameter, figures; by value.
        notes: what was left out, or looks odd.
    """

    parameter: str
    metrics: tuple[str, ...]
    rows: tuple[tuple[str, Any, tuple[float | None, ...]], ...]
    notes: tuple[str, ...]

    def labels(self) -> list[str]:
        """Short names of the figures: the part of the key that tells them apart."""
        keys = [metric.rpartition(":")[2].split(".") for metric in self.metrics]
        if len(keys) == 1:
            return [".".join(keys[0])]
        telling = [place for place in range(min(map(len, keys))) if len({key[place] for key in keys}) > 1]
        return [".".join(key[place] for place in telling) or ".".join(key) for key in keys]

    def csv(self) -> str:
        """Parameter, experiment, one column per figure."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([self.parameter, "experiment", *self.labels()])
        for name, value, figures in self.rows:
            shown = ["" if figure is None else f"{figure:.4f}" for figure in figures]
            writer.writerow([_text(value), name, *shown])
        return buffer.getvalue()


def collect(
    shown: Sequence[Mapping[str, Any]],
    parameter: str,
    metrics: Sequence[str],
    lock: Mapping[str, Any] | None = None,
) -> Sweep:
    """Read a sweep out of what `dvc exp show --json` prints.

    Args:
        shown: its content: the workspace, then the commit with its experiments.
        parameter: dotted name in params.yaml.
        metrics: keys of metrics, dotted; `file:key` where several files have the key.
        lock: content of the workspace's dvc.lock: which parameters lead to which file, and what the
            workspace's figures were made with.

    Raises:
        ValaroError: no such parameter or metric, or nothing to compare.
    """
    workspace, *commits = shown
    if not commits:
        raise ValaroError(f"there is no commit to compare with. Commit, then: {recipe(parameter)}")
    head = commits[0]
    reference = _params(head)
    if parameter not in reference:
        raise ValaroError(f"{parameter}: no such parameter in params.yaml as committed.")
    names = tuple(_resolve(metric, head) for metric in metrics)
    recorded = _behind(lock or {}, names)
    if recorded is not None and parameter not in recorded:
        raise ValaroError(
            f"{parameter} changes nothing in {', '.join(dict.fromkeys(map(_file_of, names)))}: none of the "
            "stages behind it has this parameter. Name other figures (--metric)."
        )
    found, notes = [], []
    candidates = [(COMMIT, head), *_finished(head)]
    if changed := _changed_since(recorded or {}, _params(workspace)):
        words = ", ".join(changed)
        notes.append(f"the workspace is left out: {words} changed since it was run (dvc repro)")
    else:
        candidates.append((WORKSPACE, workspace))
    for name, one in candidates:
        params = _params(one)
        considered = params.keys() | reference.keys() if recorded is None else recorded.keys()
        others = {key for key in considered if params.get(key) != reference.get(key)}
        if others - {parameter}:
            notes.append(f"{name} is left out: it differs in {', '.join(sorted(others - {parameter}))} too")
            continue
        figures = _metrics(one)
        found.append((name, params.get(parameter), tuple(figures.get(metric) for metric in names)))
    notes += _unfinished(head)
    rows = _sorted(_once(found))
    if len({_text(value) for _, value, _ in rows}) < 2:
        raise ValaroError(
            f"no finished experiment has another {parameter} than {_text(reference[parameter])}"
            f"{' (' + '; '.join(notes) + ')' if notes else ''}. To run some: {recipe(parameter)}"
        )
    if len({figures for _, _, figures in rows}) == 1:
        notes.append("all figures are the same: did the experiments run the stage that makes them?")
    return Sweep(parameter, names, tuple(rows), tuple(notes))


def recipe(parameter: str) -> str:
    """The lines that make a sweep."""
    values = {"dynamic.window_s": "1,2,3,4,6,8"}.get(parameter, "VALUE,VALUE")
    stage = {"dynamic": "train_dynamic", "cross_attention": "train_cross_attention"}
    target = stage.get(parameter.split(".", maxsplit=1)[0], "STAGE")
    return f"dvc exp run --queue -S '{parameter}={values}' {target}, then dvc queue start"


def _behind(lock: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any] | None:
    """The parameters that can change some of the figures, as the workspace was run; None: all may."""
    recorded: dict[str, Any] = {}
    for file in dict.fromkeys(map(_file_of, names)):
        found = parameters_behind(lock, file)
        if found is None:
            return None
        recorded |= found
    return recorded


def _file_of(name: str) -> str:
    return name.split(":", 1)[0]


def _changed_since(recorded: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    """The parameters that the workspace's figures were made with other values of."""
    return sorted(key for key, value in recorded.items() if key in params and params[key] != value)


def _unfinished(head: Mapping[str, Any]) -> list[str]:
    """How many experiments are left out because they aren't finished: `2 are still running`."""
    states = Counter(map(_state, head.get("experiments") or []))
    running, queued, failed = (states[state] for state in ("running", "queued", "failed"))
    notes = {
        f"{running} {'are' if running > 1 else 'is'} still running": running,
        f"{queued} {'wait' if queued > 1 else 'waits'} in the queue (dvc queue start)": queued,
        f"{failed} failed (dvc queue status)": failed,
    }
    return [note for note, count in notes.items() if count]


def draw(sweep: Sweep, out: Path) -> None:
    """Write a PNG: the figures against the parameter, on an axis of numbers where all values are numbers."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    values = [value for _, value, _ in sweep.rows]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    places = values if numeric else [_text(value) for value in values]
    with mpl.rc_context({**mpl.rcParamsDefault, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(6, 4), dpi=120, layout="constrained")
        axes = figure.add_subplot()
        for column, label in enumerate(sweep.labels()):
            curve = [float("nan") if row[2][column] is None else row[2][column] for row in sweep.rows]
            axes.plot(places, curve, marker="o", label=label)  # type: ignore[arg-type]
        if numeric:
            axes.set_xticks(sorted(set(values)), [_text(value) for value in sorted(set(values))])
        axes.set(
            xlabel=sweep.parameter, ylabel=", ".join(dict.fromkeys(m.split(":")[0] for m in sweep.metrics))
        )
        axes.grid(axis="y", color="0.9")
        axes.legend(frameon=False)
        figure.savefig(out, format="png", metadata={"Software": None})


def _finished(head: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for experiment in head.get("experiments") or []:
        one = _revision(experiment)
        if _state(experiment) not in ("queued", "running", "failed") and one.get("data"):
            yield one["name"] or one["rev"][:7], one


def _revision(experiment: Mapping[str, Any]) -> Mapping[str, Any]:
    latest: Mapping[str, Any] = experiment["revs"][0]
    return latest


def _state(experiment: Mapping[str, Any]) -> str:
    """queued, running, success, failed; run in the workspace: nothing, which is success."""
    if _revision(experiment).get("error"):
        return "failed"
    return str((experiment.get("executor") or {}).get("state") or "success").lower()


def _params(revision: Mapping[str, Any]) -> dict[str, Any]:
    files = (revision.get("data") or {}).get("params") or {}
    return dict(flat((files.get("params.yaml") or {}).get("data") or {}))


def _metrics(revision: Mapping[str, Any]) -> dict[str, float]:
    """`file:key` -> figure, of all metrics that are numbers."""
    files = (revision.get("data") or {}).get("metrics") or {}
    return {
        f"{file}:{key}": float(value)
        for file, content in files.items()
        for key, value in flat((content or {}).get("data") or {})
        if isinstance(value, int | float)
    }


def _resolve(metric: str, head: Mapping[str, Any]) -> str:
    """The full name of a metric, `file:key`."""
    known = _metrics(head)
    full = [name for name in known if metric in (name, name.split(":", 1)[1])]
    if len(full) == 1:
        return full[0]
    if full:
        raise ValaroError(f"{metric}: several files have it: {', '.join(full)}. Name one of these.")
    last = metric.rpartition(".")[2]
    near = [name for name in known if last in name] or sorted(known)
    shown = f"{', '.join(near[:8])}{' …' if len(near) > 8 else ''}" or "none at all; run dvc repro first"
    raise ValaroError(f"{metric}: no such metric in the commit. There is {shown}.")


def _once(
    rows: Sequence[tuple[str, Any, tuple[float | None, ...]]],
) -> list[tuple[str, Any, tuple[float | None, ...]]]:
    """Rows with the same value and figures once: an experiment's name says more than the commit's."""
    kept: dict[tuple[str, tuple[float | None, ...]], tuple[str, Any, tuple[float | None, ...]]] = {}
    for row in rows:
        key = (_text(row[1]), row[2])
        if key not in kept or (kept[key][0] == COMMIT and row[0] != WORKSPACE):
            kept[key] = row
    return list(kept.values())


def _sorted(
    rows: Sequence[tuple[str, Any, tuple[float | None, ...]]],
) -> list[tuple[str, Any, tuple[float | None, ...]]]:
    if all(isinstance(row[1], int | float) for row in rows):
        return sorted(rows, key=lambda row: (row[1], row[0]))
    return sorted(rows, key=lambda row: (_text(row[1]), row[0]))


def _text(value: Any) -> str:
    """A value as people write it in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
