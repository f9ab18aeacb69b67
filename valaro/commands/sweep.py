"""`valaro sweep`: compare the finished experiments by one parameter.

    dvc exp run --queue -S 'dynamic.window_s=1,2,3,4,6,8' train_dynamic
    dvc queue start
    valaro sweep dynamic.window_s

reads the finished experiments of the current commit, and writes a table and a curve.
"""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from stages.core.artefacts import whole
from stages.core.errors import ValaroError
from stages.engine.progress import plain_table
from valaro.commands.terminal import note, result
from valaro.runs import locked_stages

METRICS = Path("metrics")
SWEEPS = METRICS / "sweeps"


def sweep(parameter: str, metric: str = "", out: Path = SWEEPS) -> None:
    """Compare the finished experiments by one parameter; print them, write OUT/<parameter>.{csv,png}.

    Args:
        parameter: dotted name in params.yaml, e.g. dynamic.window_s.
        metric: keys of metrics, dotted, separated by commas; `file:key` where several files have the key.
            Default: the best CCC of the section's training; of a section without one, the best system's.
        out: folder of the table and the curve.

    Raises:
        ValaroError: no git, no DVC, no such parameter or metric, or nothing to compare.
    """
    from stages.evaluation.sweep import DEFAULT_METRIC, DEFAULT_METRICS, collect, draw

    section = parameter.split(".", maxsplit=1)[0]
    asked = [key.strip() for key in metric.split(",") if key.strip()]
    metrics = asked or DEFAULT_METRICS.get(section, DEFAULT_METRIC)
    found = collect(experiments(), parameter, metrics, {"stages": locked_stages(Path())})
    for suffix in ("csv", "png"):
        with whole(out / f"{parameter}.{suffix}") as partial:
            if suffix == "csv":
                partial.write_text(found.csv(), encoding="utf-8")
            else:
                draw(found, partial)
    rows = [
        [str(value), *("—" if figure is None else f"{figure:.3f}" for figure in figures), name]
        for name, value, figures in found.rows
    ]
    for line in plain_table([found.parameter, *found.labels(), "experiment"], rows):
        result(line)
    for remark in found.notes:
        note(f"note: {remark}")
    note(f"{out / parameter}.csv, {out / parameter}.png")


def experiments() -> list[dict[str, Any]]:
    """What DVC knows of the workspace, the commit and its experiments.

    The command, not `dvc.api.exp_show`: that one gives numbers as text or as floats, null as the text "None",
    and leaves the file out of a metric's name.

    Raises:
        ValaroError: this isn't a git repository with DVC.
    """
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().splitlines()
        raise ValaroError(
            f"dvc exp show: {reason[-1].removeprefix('ERROR: ') if reason else 'failed'}. Experiments need "
            "a git repository with DVC: run this from a clone (otherwise: git init, dvc init, git commit)."
        )
    shown: list[dict[str, Any]] = json.loads(done.stdout)
    if not shown:
        raise ValaroError("DVC knows of no commit here. Commit once (git commit), then run experiments.")
    workspace, *commits = shown
    _add_figures(workspace, _on_disk())
    for commit in commits:
        _add_figures(commit, _in_git(commit["rev"]))
        for experiment in commit.get("experiments") or ():
            for revision in experiment["revs"]:
                _add_figures(revision, _in_git(revision["rev"]))
    return shown


def _add_figures(revision: dict[str, Any], files: dict[str, Any]) -> None:
    """Put the figures that are no metrics of DVC's beside those that are."""
    if data := revision.get("data"):
        known = data.setdefault("metrics", {})
        known |= {name: {"data": content} for name, content in files.items() if name not in known}


def _on_disk() -> dict[str, Any]:
    found = {path.as_posix(): path.read_text(encoding="utf-8") for path in sorted(METRICS.rglob("*.json"))}
    return _figures(found)


def _in_git(revision: str) -> dict[str, Any]:
    """The JSON files below metrics/ of a commit; none where git doesn't know it."""
    listed = _git("ls-tree", "-r", "--name-only", revision, "--", f"{METRICS}/")
    names = [name for name in listed.splitlines() if name.endswith(".json")]
    return _figures({name: _git("show", f"{revision}:{name}") for name in names})


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=False, capture_output=True, text=True)
    return "" if done.returncode else done.stdout


def _figures(texts: dict[str, str]) -> dict[str, Any]:
    """File -> its content, of files that hold figures by name."""
    found = {}
    for name, text in texts.items():
        with suppress(ValueError):
            if isinstance(content := json.loads(text), dict):
                found[name] = content
    return found
