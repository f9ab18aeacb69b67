"""Names that would be markup, attributes, the end of a script or a formula, wherever a reader meets them."""

import csv
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

from stages import evaluate, report
from stages.core.artefacts import write_arrays, write_json
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.params import load_params
from stages.core.systems import FUSIONS, OUT_OF_FOLD, SYSTEMS
from stages.evaluation.tables import Table
from stages.exports.trace import plain_cell
from stages.media.jpeg import pack_jpegs
from stages.reporting.cards import cards_in

from .conftest import lay_models

NAMES = (
    "<script>alert(1)<script>",
    '" onmouseover=alert(1) x="',
    "' onfocus='alert(1)",
    "<!--<img src=x onerror=alert(1)>",
    "]]>{{ 7*7 }}${7*7}`alert(1)`",
    'a,b;"c" | d',
)
"""Of subjects: what a file can be called, and a label file is called."""
NEVER_FILES = ("</script><script>alert(1)</script>", '=HYPERLINK("http://x","y")')
"""What no subject can be called (tests of the corpus' layout): they stand in cells, notes, the corpus' path."""
FRAMES, FPS_HZ = 30, 5.0


class Page(HTMLParser):
    """The elements of a page, and the text between them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text, self.data = "", ""
        self._inside: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(key, value or "") for key, value in attrs]
        if tag in ("script", "style"):
            self._inside.append(dict(attrs).get("type") or tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if self._inside == ["application/json"]:
            self.data += data
        elif not self._inside:
            self.text += data


def write_subject(workspace: Workspace, name: str, seed: int) -> None:
    """Labels, a face, and a trace by every system."""
    time_s, rng = np.arange(FRAMES) / FPS_HZ, np.random.default_rng(seed)
    truth = (0.7 * np.column_stack([np.sin(time_s), np.cos(time_s)])).astype(np.float32)
    fused = [f"fused/{fusion}{ending}" for fusion in FUSIONS for ending in ("", OUT_OF_FOLD)]
    for folder in [
        *(f"traces/{system}{ending}" for system in SYSTEMS for ending in ("", OUT_OF_FOLD)),
        *fused,
    ]:
        trace = np.clip(truth + rng.normal(0, 0.1, truth.shape), -1, 1).astype(np.float32)
        write_arrays(workspace.artefact(folder, name), {"time_s": time_s, "valence_arousal": trace})
    labels = {"time_s": time_s, "valence_arousal": truth, "labelled": np.ones(FRAMES, bool)}
    facts: dict[str, Any] = {"frames": FRAMES, "labelled_frames": FRAMES, "duration_s": FRAMES / FPS_HZ}
    facts |= {"average_rate_hz": FPS_HZ, "variable_rate": False, "has_audio": True, "width": 64, "height": 64}
    write_arrays(workspace.artefact("index", name), labels, **facts)
    jpeg, offset = pack_jpegs([np.full((32, 32, 3), 90, np.uint8)] * FRAMES)
    faces = {"time_s": time_s, "detected": np.ones(FRAMES, bool), "jpeg": jpeg, "jpeg_offset": offset}
    faces |= {"others": np.zeros(FRAMES, np.uint8), "jump": np.zeros(FRAMES, bool)}
    faces |= {"crop_index": np.arange(FRAMES), "box_xyxy": np.full((FRAMES, 4), 8, np.float32)}
    write_arrays(workspace.artefact("faces", name), faces)
    write_arrays(workspace.artefact("decode", name), {"time_s": time_s}, width=64, height=64)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A run on a corpus of hostile names in a hostile folder, evaluated and reported."""
    root = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("DVC_ROOT", raising=False)
        workspace = Workspace()
        subjects = [Subject(name, name, None, "validation") for name in NAMES]
        facts = {name: {"duration_s": 6.0, "labelled_frames": FRAMES} for name in NAMES}
        videos = {name: f"corpus/{name}.mp4" for name in NAMES}
        workspace.write_corpus(Corpus(subjects, videos), source=" ".join(NEVER_FILES), facts=facts)
        for seed, name in enumerate(NAMES):
            write_subject(workspace, name, seed)
        lay_all(workspace, repository)
        evaluate.evaluate()
        report.report()
    return root


def lay_all(workspace: Workspace, repository: Path) -> None:
    """Models, tables and notes."""
    shutil.copy(repository / "profiles" / "sample.yaml", "params.yaml")
    lay_models(workspace, load_params())
    note = {"stage": "index", "subject": None, "quarantined": True}
    note |= dict(zip(("file", "problem"), NEVER_FILES, strict=True)) | {"remedy": NAMES[0]}
    write_json(workspace.folder("decode") / "notes.json", [note])
    tables = workspace.metrics("tables")
    tables.mkdir()
    figures = [
        f"{kind}_mean{bound}" for kind in ("as_published", "out_of_fold") for bound in ("", "_low", "_high")
    ]
    columns = ["row", "system", *figures, "optimism", "paper_dev_mean"]
    cells = [[name, system, *[0.5] * 8] for name, system in zip(NEVER_FILES, SYSTEMS, strict=False)]
    table = Table(NAMES[0], columns, cells, [NAMES[4]])
    (tables / "table_5.md").write_text(table.markdown(), encoding="utf-8")
    (tables / "table_5.csv").write_text(table.csv(), encoding="utf-8")
    definition = {"stages": {"index": {"desc": NEVER_FILES[0], "outs": ["data/index"]}}}
    Path("dvc.yaml").write_text(yaml.safe_dump(definition), encoding="utf-8")


def test_pages_hold_no_element_or_attribute_of_a_names_making(run: Path) -> None:
    plain = run / "metrics/report/index.html"
    pages = {path: Page(path) for path in [plain, *(run / "metrics/report/videos").glob("*.html")]}
    assert len(pages) == 1 + len(NAMES)
    for path, page in pages.items():
        assert page.tags.count("script") == (1 if path == plain else 2), path
        assert page.tags.count("img") == (0 if path == plain else FRAMES)
        assert [key for key, _ in page.attributes if key.startswith("on")] == []
        addresses = [value for key, value in page.attributes if key in ("href", "src")]
        assert [each for each in addresses if ":" in each and not each.startswith("data:")] == []


def test_names_can_be_read_as_they_are(run: Path) -> None:
    overview = Page(run / "metrics/report/index.html")
    for name in (*NAMES, *NEVER_FILES):
        assert name in overview.text
    for name in NAMES:
        page = Page(run / "metrics/report/videos" / f"{name}.html")
        assert page.text.count(name) >= 2, "title and heading"
        assert json.loads(page.data)["curves"]
    links = {unquote(value) for key, value in overview.attributes if key == "href"}
    assert {link for link in links if link.startswith("videos/")} == {f"videos/{name}.html" for name in NAMES}


@pytest.mark.parametrize("file", ["per_video.csv", "per_video_all.csv", "plots/systems.csv"])
def test_tables_keep_a_name_in_its_cell_and_hold_no_formula(run: Path, file: str) -> None:
    with (run / "metrics" / file).open(newline="", encoding="utf-8") as opened:
        head, *rows = csv.reader(opened)
    assert rows
    assert {len(row) for row in rows} == {len(head)}
    assert [cell for row in rows for cell in row if plain_cell(cell) != cell and not is_number(cell)] == []
    if "subject" in head:
        assert {row[head.index("subject")] for row in rows} == set(NAMES)


def is_number(cell: str) -> bool:
    """Whether a cell that begins with a sign is a figure."""
    return cell.lstrip("-").replace(".", "", 1).isdigit()


def test_cards_show_a_name_and_run_nothing(run: Path) -> None:
    cards = cards_in(run / "metrics/report/models")
    assert cards
    for path in cards.values():
        text = ModelCard.load(path).text
        outside = "".join(part for k, part in enumerate(text.split("`")) if k % 2 == 0)
        assert "<script" not in outside
        assert "alert(1)" in text or "pretrained_static" in path.as_posix()
