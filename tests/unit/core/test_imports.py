"""Arrows point down: valaro -> stages -> domain packages -> engine -> core; and nothing imports itself in a ring."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx
import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
FILES = sorted(path for package in ("stages", "valaro") for path in (REPOSITORY / package).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def imported(tree: ast.AST, *, at_once: bool) -> Iterator[str]:
    """Modules of ours that a file imports; `at_once`: only when it is itself imported, not within functions."""
    for node in ast.iter_child_nodes(tree):
        if at_once and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name for name in names if name in MODULES]
            yield from found or [name for name in [node.module] if name in MODULES]
        yield from imported(node, at_once=at_once)


@cache
def graph(*, at_once: bool) -> "networkx.DiGraph[str]":
    arrows: networkx.DiGraph[str] = networkx.DiGraph()
    for path in FILES:
        module = module_of(path)
        for other in imported(ast.parse(path.read_text(encoding="utf-8")), at_once=at_once):
            if other != module:
                arrows.add_edge(module, other)
    return arrows


def test_no_module_imports_itself_in_a_ring() -> None:
    """`valaro` itself names what its modules hold, which they reach by their own names."""
    arrows = graph(at_once=True).copy()
    arrows.remove_nodes_from([name for name in ("valaro", "stages") if name in arrows])
    assert list(networkx.simple_cycles(arrows)) == []


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("stages.", ("valaro",)),
        ("stages.core.", ("stages.",)),
        ("stages.engine.", ("stages.",)),
        ("stages.media.", ("stages.",)),
    ],
)
def test_no_arrow_runs_back(package: str, forbidden: tuple[str, ...]) -> None:
    allowed = {
        "stages.core.": ("stages.core.",),
        "stages.engine.": ("stages.core.", "stages.engine."),
        "stages.media.": ("stages.core.", "stages.engine.", "stages.media."),
    }.get(package, ())
    wrong = [
        (module, other)
        for module, other in graph(at_once=False).edges
        if f"{module}.".startswith(package)
        and other.startswith(forbidden)
        and not other.startswith(allowed or ("-",))
    ]
    assert wrong == []


def test_the_graph_sees_what_is_plain_to_see() -> None:
    arrows = graph(at_once=False)
    assert arrows.has_edge("valaro.recordings.chain", "stages.predict")
    assert arrows.has_edge("stages.core.params.perception", "stages.core.detectors")
