"""A drawing of the pipeline: the stages of dvc.yaml in layers, and which stage reads the output of which.

Edges that a longer path implies aren't drawn (transitive reduction): nearly every stage reads the index, and
all edges together would be unreadable.
"""

import re
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import combinations, pairwise
from pathlib import Path
from random import Random
from typing import Any

from markupsafe import Markup

from stages.core.yaml_text import read_yaml
from stages.reporting.svg import WIDTH, element, group, picture

Edges = dict[str, set[str]]
"""Stage -> the stages whose output it reads."""

BOX_WIDTH, BOX_HEIGHT, ROW_HEIGHT = 112, 36, 62
LINE_LENGTH = 16  # characters that fit into a box
SWEEPS = 8  # over the layers; further ones change nothing
TRIALS = 24  # random initial orders, each of which leads to a local optimum


@dataclass(frozen=True)
class Node:
    """A stage of dvc.yaml.

    Args:
        name: name of the stage.
        desc: what it does.
        matrix: the variable of its matrix, e.g. `backbone`; "" without a matrix.
        reads: paths, with `*` in place of parameters.
        writes: paths.
    """

    name: str
    desc: str
    matrix: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def read_nodes(path: Path) -> list[Node]:
    """The stages of a dvc.yaml, in its order."""
    stages: dict[str, dict[str, Any]] = read_yaml(path)["stages"]
    return [
        Node(
            name,
            stage.get("desc", ""),
            ", ".join(stage.get("matrix", ())),
            _paths(stage.get("deps", ())),
            _paths([*stage.get("outs", ()), *stage.get("metrics", ()), *stage.get("plots", ())]),
        )
        for name, stage in stages.items()
    ]


def edges_of(nodes: Sequence[Node]) -> Edges:
    """Which stage reads the output of which, without the edges that a longer path implies."""
    direct = {
        reader.name: {
            writer.name
            for writer in nodes
            if writer is not reader and any(_touch(r, w) for r in reader.reads for w in writer.writes)
        }
        for reader in nodes
    }
    before: Edges = {}
    for name in TopologicalSorter(direct).static_order():
        before[name] = direct[name].union(*(before[parent] for parent in direct[name]))
    return {
        name: {parent for parent in parents if not any(parent in before[other] for other in parents)}
        for name, parents in direct.items()
    }


def layers_of(edges: Edges) -> dict[str, int]:
    """Stage -> its layer, from 0: as late as the stages that read its output allow."""
    readers: Edges = {name: set() for name in edges}
    for name, parents in edges.items():
        for parent in parents:
            readers[parent].add(name)
    order = [*TopologicalSorter(edges).static_order()]
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max((depth[parent] for parent in edges[name]), default=-1)
    for name in reversed(order):
        if readers[name]:
            depth[name] = min(depth[reader] for reader in readers[name]) - 1
    return depth


def drawing(nodes: Sequence[Node], states: Mapping[str, str], times: Mapping[str, str]) -> Markup:
    """The drawing, from top to bottom.

    Args:
        nodes: the stages.
        states: stage -> `current`, `changed` or `never`; empty if unknown.
        times: stage -> duration of its last run, in words; empty if unknown.
    """
    edges = edges_of(nodes)
    depth = layers_of(edges)
    places = _places(edges, depth)
    lines = [
        element("path", class_="edge", d=_way(_chain(parent, name, depth), places))
        for name in sorted(edges)
        for parent in sorted(edges[name])
    ]
    boxes = [
        _box(node, places[node.name], states.get(node.name, ""), times.get(node.name, "")) for node in nodes
    ]
    height = (max(depth.values(), default=0) + 1) * ROW_HEIGHT
    arrows = [f"{parent} to {name}" for name, parents in edges.items() for parent in sorted(parents)]
    return picture("The pipeline", "; ".join(arrows), WIDTH, height, *lines, *boxes, class_="dag")


def _box(node: Node, place: tuple[float, float], state: str, time: str) -> Markup:
    x, y = place
    words = f"{node.name}: {node.desc}" + (f" ({state})" if state else "")
    corner = {"x": x - BOX_WIDTH / 2, "y": y - BOX_HEIGHT / 2}
    parts = [element("title", words), element("rect", **corner, width=BOX_WIDTH, height=BOX_HEIGHT, rx=5)]
    lines = _lines(node)
    first = y + 4 - 7 * (len(lines) - 1)
    parts += [element("text", line, x=x, y=first + 14 * k) for k, line in enumerate(lines)]
    if time:
        parts.append(element("text", time, class_="time", x=x, y=y + BOX_HEIGHT / 2 + 11))
    return group(parts, data_state=state) if state else group(parts)


def _lines(node: Node) -> list[str]:
    name = node.name.replace("_", " ")
    cut = textwrap.wrap(name, LINE_LENGTH, max_lines=1 if node.matrix else 2, placeholder="…")
    return [*cut, f"× {node.matrix}"] if node.matrix else cut


def _places(edges: Edges, depth: Mapping[str, int]) -> dict[str, tuple[float, float]]:
    """Centres of the stages, and of the bends (`a>b>3`) of edges that cross a layer."""
    links, rows = _links(edges, depth)
    tried = [_ordered(rows, links, Random(seed)) for seed in range(TRIALS)]
    best = min(tried, key=lambda order: _crossings(order, links))
    return {
        each: (WIDTH / len(row) * (k + 0.5), ROW_HEIGHT * (layer + 0.5) - 4)
        for layer, row in best.items()
        for k, each in enumerate(row)
    }


def _links(edges: Edges, depth: Mapping[str, int]) -> tuple[list[tuple[str, str]], dict[int, list[str]]]:
    """Segments of the edges between adjacent layers; and layer -> its stages and bends."""
    rows: dict[int, list[str]] = defaultdict(list)
    for name, layer in depth.items():
        rows[layer].append(name)
    links: list[tuple[str, str]] = []
    for name in edges:
        for parent in sorted(edges[name]):
            chain = _chain(parent, name, depth)
            links += pairwise(chain)
            for layer, bend in enumerate(chain[1:-1], depth[parent] + 1):
                rows[layer].append(bend)
    return links, rows


def _ordered(
    rows: Mapping[int, list[str]], links: Sequence[tuple[str, str]], random: Random
) -> dict[int, list[str]]:
    """Sort each layer by the mean position of its neighbours, repeatedly (Sugiyama et al., 1981)."""
    order = {layer: random.sample(row, len(row)) for layer, row in sorted(rows.items())}
    neighbours: Edges = defaultdict(set)
    for upper, lower in links:
        neighbours[upper].add(lower)
        neighbours[lower].add(upper)
    across = _across(order)
    for _ in range(SWEEPS):
        for layer in [*order, *reversed(order)]:
            order[layer].sort(key=lambda each: (_middle(neighbours[each], across), across[each]))
            across |= _across({layer: order[layer]})
    return order


def _across(order: Mapping[int, list[str]]) -> dict[str, float]:
    """Stage or bend -> its horizontal position, as a share of the width."""
    return {each: (k + 0.5) / len(row) for row in order.values() for k, each in enumerate(row)}


def _crossings(order: Mapping[int, list[str]], links: Sequence[tuple[str, str]]) -> int:
    across = _across(order)
    layer = {each: number for number, row in order.items() for each in row}
    pairs = combinations(links, 2)
    together = (((a, b), (c, d)) for (a, b), (c, d) in pairs if layer[a] == layer[c])
    return sum((across[a] - across[c]) * (across[b] - across[d]) < 0 for (a, b), (c, d) in together)


def _middle(neighbours: set[str], across: Mapping[str, float]) -> float:
    return sum(across[each] for each in neighbours) / max(1, len(neighbours))


def _chain(parent: str, name: str, depth: Mapping[str, int]) -> list[str]:
    """The path from a stage to its reader, with a bend in every layer between."""
    return [parent, *(f"{parent}>{name}>{k}" for k in range(depth[parent] + 1, depth[name])), name]


def _way(chain: Sequence[str], places: Mapping[str, tuple[float, float]]) -> str:
    x, y = places[chain[0]]
    y += BOX_HEIGHT / 2
    steps = [f"M{x:.1f} {y:.1f}"]
    for each in chain[1:]:
        to_x, to_y = places[each]
        end_y = to_y - BOX_HEIGHT / 2
        bend = (y + end_y) / 2
        steps.append(f"C{x:.1f} {bend:.1f} {to_x:.1f} {bend:.1f} {to_x:.1f} {end_y:.1f}")
        x, y = to_x, end_y
        if each != chain[-1]:
            y = to_y + BOX_HEIGHT / 2
            steps.append(f"L{x:.1f} {y:.1f}")
    return "".join(steps)


def _paths(entries: Sequence[str | dict[str, Any]]) -> tuple[str, ...]:
    """Paths in a list of dvc.yaml, whose entries may have settings."""
    names = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
    return tuple(re.sub(r"\$\{[^}]*\}", "*", name) for name in names)


def _touch(read: str, written: str) -> bool:
    """Whether two paths are equal or one is in the other; those that begin with a parameter are external."""
    a, b = (path.strip("/").split("/") for path in (read, written))
    return a[0] == b[0] != "*" and all(x == y or "*" in x or "*" in y for x, y in zip(a, b, strict=False))
