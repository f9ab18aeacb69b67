"""The picture of the pipeline shows its stages and what hands what to whom."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup

from stages.reporting.pipeline import drawing, edges_of, layers_of, read_nodes

DEFINITION = """
stages:
  index: {desc: first, cmd: x, deps: ["${corpus}", stages/index.py], outs: [data/index]}
  faces: {desc: second, cmd: x, deps: [data/index], outs: [data/faces]}
  voice: {desc: third, cmd: x, deps: [data/index], outs: [data/voice: {cache: false}]}
  train:
    desc: <b>fourth</b>
    matrix: {backbone: [a, b]}
    cmd: x
    deps: [data/index, data/faces]
    outs: ["models/${item.backbone}.bin"]
    metrics: ["metrics/train/${item.backbone}/metrics.json": {cache: false}]
  fuse: {desc: last, cmd: x, deps: [data/index, "models/${best}.bin", data/voice, metrics/train], outs: [data/out]}
"""


def parsed(drawn: Markup) -> ElementTree.Element:
    """A drawing of ours as a tree: it is well-formed XML."""
    return ElementTree.fromstring(drawn)  # noqa: S314 - not from outside


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    path = tmp_path / "dvc.yaml"
    path.write_text(DEFINITION, encoding="utf-8")
    return path


def test_edges_that_others_imply_are_left_out(definition: Path) -> None:
    """All but the first read data/index; only those that read nothing made from it show it."""
    assert edges_of(read_nodes(definition)) == {
        "index": set(),
        "faces": {"index"},
        "voice": {"index"},
        "train": {"faces"},
        "fuse": {"train", "voice"},
    }


def test_a_stage_lies_below_all_it_reads_from_and_no_higher_than_needed(definition: Path) -> None:
    layers = layers_of(edges_of(read_nodes(definition)))
    assert layers == {"index": 0, "faces": 1, "voice": 2, "train": 2, "fuse": 3}


def test_every_stage_is_drawn_once_and_no_box_covers_another(definition: Path) -> None:
    root = parsed(drawing(read_nodes(definition), {}, {}))
    texts = [text.text for text in root.iter("text")]
    assert sorted(filter(None, texts)) == ["faces", "fuse", "index", "train", "voice", "× backbone"]
    boxes = [tuple(float(r.get(k, "")) for k in ("x", "y", "width", "height")) for r in root.iter("rect")]
    for k, (x, y, width, height) in enumerate(boxes):
        assert x >= 0
        assert x + width <= 360
        for other_x, other_y, *_ in boxes[:k]:
            assert abs(x - other_x) >= width or abs(y - other_y) >= height
    described = root.findtext("desc") or ""
    assert described.split("; ") == [
        "index to faces",
        "index to voice",
        "faces to train",
        "train to fuse",
        "voice to fuse",
    ]
    assert len([path for path in root.iter("path") if path.get("class") == "edge"]) == 5


def test_an_arrow_begins_at_its_writer_and_ends_at_its_reader(definition: Path) -> None:
    root = parsed(drawing(read_nodes(definition), {}, {}))
    centres = {}
    for group in root.iter("g"):
        rect, title = group.find("rect"), group.findtext("title")
        if rect is not None and title:
            centres[title.split(":")[0]] = float(rect.get("x", "")) + float(rect.get("width", "")) / 2
    ends = []
    for path in root.iter("path"):
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", path.get("d", ""))]
        ends.append((numbers[0], numbers[-2]))
    edges = edges_of(read_nodes(definition))
    wanted = [(centres[parent], centres[name]) for name in edges for parent in edges[name]]
    assert np.array(sorted(ends)) == pytest.approx(np.array(sorted(wanted)), abs=0.2)


def test_states_and_times_are_drawn_only_where_known(definition: Path) -> None:
    picture = str(drawing(read_nodes(definition), {"faces": "changed"}, {"faces": "3 s"}))
    assert picture.count("data-state") == 1
    assert 'data-state="changed"' in picture
    assert ">3 s<" in picture
    assert "<b>" not in picture


def test_the_pipeline_of_the_repository_is_drawn_whole() -> None:
    nodes = read_nodes(Path(__file__).parents[3] / "dvc.yaml")
    root = parsed(drawing(nodes, {}, {}))
    assert len([*root.iter("rect")]) == len(nodes)
    assert {"report"} <= {node.name for node in nodes}
