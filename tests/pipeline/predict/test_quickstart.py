"""docs/quickstart.ipynb runs from its first cell to its last, and shows what it says."""

from pathlib import Path

import nbclient
import nbformat
import pytest


@pytest.fixture(scope="module")
def notebook(repository: Path, trained: Path) -> nbformat.NotebookNode:
    """The notebook after its run beside a tiny trained system."""
    content = nbformat.read(repository / "docs/quickstart.ipynb", as_version=4)
    client = nbclient.NotebookClient(content, timeout=300, resources={"metadata": {"path": str(trained)}})
    return client.execute()


def outputs_of(notebook: nbformat.NotebookNode, beginning: str) -> dict[str, str]:
    """What the cell with such a line showed, by MIME type."""
    [cell] = [cell for cell in notebook.cells if cell.cell_type == "code" and beginning in cell.source]
    shown: dict[str, str] = {}
    for output in cell.outputs:
        shown |= output.get("data", {"text/plain": output.get("text", "")})
    return shown


def test_a_trace_shows_itself_as_a_curve(notebook: nbformat.NotebookNode) -> None:
    shown = outputs_of(notebook, "trace = valaro.predict(clip")
    assert shown["image/png"]
    assert "data:image/png;base64," in shown["text/html"]
    assert "2.0 s, 50 frames" in shown["text/plain"]


def test_the_table_and_the_files_are_there(notebook: nbformat.NotebookNode) -> None:
    assert "valence_low" in outputs_of(notebook, "table.head()")["text/html"]
    assert "portrait.eaf" in outputs_of(notebook, "trace.save(")["text/plain"]


def test_what_fails_is_told_apart(notebook: nbformat.NotebookNode) -> None:
    assert "not a video file" in outputs_of(notebook, "found.failures")["text/plain"]
    assert "Did you mean dynamic?" in outputs_of(notebook, "dynamc")["text/plain"]


def test_it_is_committed_without_outputs(repository: Path) -> None:
    content = nbformat.read(repository / "docs/quickstart.ipynb", as_version=4)
    assert all(
        not cell.outputs and cell.execution_count is None
        for cell in content.cells
        if cell.cell_type == "code"
    )
