"""`valaro report`: the page of the run as it stands, with what is up to date and what every stage took."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core.errors import ValaroError
from stages.core.yaml_text import read_yaml
from valaro.commands.origin import other_origin
from valaro.commands.terminal import note, result
from valaro.runs import locked_stages

if TYPE_CHECKING:
    from stages.engine.runlog import Run

PAGE = Path(".valaro") / "report.html"
DEFINITION = Path("dvc.yaml")


def report(page: Path = PAGE) -> None:
    """Write the page; the one that DVC tracks, metrics/report/index.html, has no times and no state.

    Args:
        page: the file; it links the videos' pages of the last `dvc repro report`.

    Raises:
        ValaroError: the run has no figures yet, or DVC can't say what is up to date.
    """
    from stages.core.corpus import Workspace
    from stages.core.params import PARAMS_FILE
    from stages.engine.runlog import history
    from stages.reporting.overview import Live, write_overview
    from stages.reporting.pipeline import read_nodes

    workspace = Workspace()
    if not workspace.metrics("evaluate.json").is_file():
        raise ValaroError(f"{workspace.metrics('evaluate.json')} is missing. Run `dvc repro report` first.")
    names = [node.name for node in read_nodes(DEFINITION)]
    states = states_of(names, _status(), locked_stages(Path()))
    times = times_of(history(Path(".valaro")), entries_of(DEFINITION, PARAMS_FILE))
    live = Live(states, times, _facts(Path()))
    write_overview(page, workspace, DEFINITION, workspace.metrics("report"), live)
    for sentence in other_origin(workspace):
        note(f"note: {sentence}")
    stale = [name for name in names if states[name] != "current"]
    note(f"not up to date: {', '.join(stale)}" if stale else "everything is up to date")
    result(str(page))


def _facts(root: Path) -> dict[str, str]:
    """Commit, profile and date; of the commit nothing without git."""
    from stages.core.profiles import active_profile

    facts = {"written": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")}
    facts["profile"] = active_profile(root) or "none: params.yaml has edits of its own"
    if commit := _git("log", "-1", "--format=%h of %cs: %s"):
        edited = ", with uncommitted changes" if _git("status", "--porcelain", "--untracked-files=no") else ""
        facts["commit"] = f"{commit}{edited}"
    return facts


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return "" if done.returncode else done.stdout.strip()


def states_of(names: Iterable[str], changed: Iterable[str], locked: Iterable[str]) -> dict[str, str]:
    """Stage -> `current`, `changed` or `never`; a stage with a matrix is as its worst entry.

    Args:
        names: of the stages.
        changed: those that `dvc status` lists, `finetune@efficientnet_b1` for an entry of a matrix.
        locked: those in dvc.lock: they have run.
    """
    stale, ran = ({entry.partition("@")[0] for entry in found} for found in (changed, locked))
    return {name: "never" if name not in ran else "changed" if name in stale else "current" for name in names}


def entries_of(definition: Path, params: Path) -> dict[str, list[str]]:
    """Stage with a matrix -> its entries as DVC calls them, `finetune@efficientnet_b1`.

    Args:
        definition: dvc.yaml; each matrix names lists, or parameters that are lists.
        params: their file.
    """
    stages, values = read_yaml(definition)["stages"], read_yaml(params)

    def listed(axis: list[Any] | str) -> list[Any]:
        if isinstance(axis, str):
            found: Any = values
            for key in axis.removeprefix("${").removesuffix("}").split("."):
                found = found[key]
            return list(found)
        return axis

    return {
        name: [f"{name}@{'-'.join(map(str, entry))}" for entry in product(*map(listed, axes.values()))]
        for name, stage in stages.items()
        if (axes := stage.get("matrix"))
    }


def times_of(
    runs: Mapping[tuple[str, str], Sequence["Run"]], entries: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Stage -> what it took when it last computed something, its kinds of work together, in words.

    Of a stage with a matrix, all entries together; where some left no time, of how many it is.

    Args:
        runs: of the run log: (stage or entry, kind of work) -> from the earliest to the latest.
        entries: of the stages with a matrix; other entries in the log no longer exist.
    """
    seconds: dict[str, float] = defaultdict(float)
    for (label, _), found in runs.items():
        worked = [run.wall_s for run in found if run.computed]
        if worked:
            seconds[label] += worked[-1]
    times = {label: _words(total) for label, total in seconds.items() if "@" not in label}
    for stage, wanted in entries.items():
        known = [seconds[label] for label in wanted if label in seconds]
        times.pop(stage, None)  # of an earlier version's log, which didn't tell entries apart
        if known:
            part = f" ({len(known)} of {len(wanted)})" if len(known) < len(wanted) else ""
            times[stage] = f"{_words(sum(known))}{part}"
    return times


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _status() -> dict[str, Any]:
    """What DVC finds changed, by stage."""
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found: dict[str, Any] = json.loads(asked.stdout)
    except json.JSONDecodeError:
        said = (asked.stderr.strip() or "no answer").splitlines()[-1]
        raise ValaroError(f"`dvc status` failed: {said}") from None
    return found
