"""`valaro scores`: the figures of the last evaluation, without running anything."""

from stages.core.artefacts import read_json
from stages.core.corpus import Workspace
from stages.core.errors import ValaroError
from stages.engine.progress import plain_table
from valaro.commands.origin import other_origin
from valaro.commands.terminal import note, result


def scores(workspace: Workspace) -> None:
    """Print CCC by system, the best out-of-fold figure first, and where the rest lies.

    Raises:
        ValaroError: nothing has been evaluated here.
    """
    from stages.evaluate import HEAD, legend, table

    evaluated, page = workspace.metrics("evaluate.json"), workspace.metrics("report/index.html")
    if not evaluated.is_file():
        raise ValaroError(f"{evaluated.absolute()} is missing. Run `dvc repro` first.")
    found = read_json(evaluated)
    rows, best = table(found)
    for line in plain_table(HEAD, rows, best):
        result(line)
    for sentence in other_origin(workspace):
        note(f"note: {sentence}")
    for line in legend(found):
        note(line)
    note("metrics/evaluate.json and metrics/pairs.csv have more")
    if page.is_file():
        note(f"{page}: the run on one page")
