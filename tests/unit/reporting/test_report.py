"""The pages of a run: what they say, that they need nothing else, and that no name gets the better of them."""

import base64
import csv
import hashlib
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import yaml

from stages import report
from stages.core.artefacts import read_json, write_arrays, write_json
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.measures import ccc_per_target
from stages.core.systems import FUSIONS, OUT_OF_FOLD, SYSTEMS
from stages.evaluation.tables import Table
from stages.media.jpeg import pack_jpegs
from stages.reporting import gathered
from stages.reporting.overview import SAMPLE_NOTICE, Live, coded, figure, write_overview

from .conftest import LayModels

HOSTILE = "<img src=x onerror=alert(1)>"
NAMES = ("worst", "quiet & dark", HOSTILE, "best")
BEST = "dwf_dynamic_audio"
FRAMES, FPS_HZ = 50, 5.0
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """Elements, and the text that a reader sees; a tag that isn't closed in its place is an error."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.scripts = "", ""
        self._open: list[str] = []
        self.raw = path.read_text(encoding="utf-8")
        self.feed(self.raw)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts += data
        elif self._open and self._open[-1] != "style":
            self.text += data

    def all(self, attribute: str) -> list[str]:
        """Every value of an attribute."""
        return [attributes[attribute] for _, attributes in self.tags if attribute in attributes]


def write_subject(workspace: Workspace, subject: Subject, error: float) -> None:
    """Labels, a face and a voice, and a trace of every system that is off by `error` at most."""
    rng = np.random.default_rng(len(subject.name))
    time_s = np.arange(FRAMES) / FPS_HZ
    truth = np.column_stack([np.sin(time_s), np.cos(time_s)]).astype(np.float32) * 0.7
    for folder in (
        *(f"traces/{name}{OUT_OF_FOLD}" for name in SYSTEMS),
        *(f"fused/{name}{OUT_OF_FOLD}" for name in FUSIONS),
    ):
        wrong = error * (1.5 if folder.startswith("traces/dynamic") else 1.0)
        trace = np.clip(truth + rng.uniform(-wrong, wrong, truth.shape), -1, 1).astype(np.float32)
        write_arrays(workspace.artefact(folder, subject.name), {"time_s": time_s, "valence_arousal": trace})
    truth[:5] = np.nan
    labels = {"time_s": time_s, "valence_arousal": truth, "labelled": np.arange(FRAMES) >= 5}
    facts: dict[str, Any] = {"frames": FRAMES, "labelled_frames": FRAMES - 5, "duration_s": FRAMES / FPS_HZ}
    facts |= {"average_rate_hz": FPS_HZ, "variable_rate": False, "has_audio": True, "width": 64, "height": 64}
    facts |= {"video_codec": "hevc", "pixel_format": "yuv420p"}
    write_arrays(workspace.artefact("index", subject.name), labels, **facts)
    jpeg, offset = pack_jpegs([np.full((32, 32, 3), 90, np.uint8)] * FRAMES)
    seen = np.arange(FRAMES) % 10 > 0
    faces = {"time_s": time_s, "detected": seen, "jpeg": jpeg, "jpeg_offset": offset}
    faces |= {"others": np.zeros(FRAMES, np.uint8), "jump": np.zeros(FRAMES, bool)}
    faces |= {"crop_index": np.arange(FRAMES), "box_xyxy": np.full((FRAMES, 4), 8, np.float32)}
    write_arrays(workspace.artefact("faces", subject.name), faces)
    speaking = {"time_s": time_s, "speaking": np.arange(FRAMES) % 4 > 0}
    write_arrays(workspace.artefact("speech", subject.name), speaking)
    write_arrays(workspace.artefact("decode", subject.video), {"time_s": time_s}, width=64, height=64)


def write_metrics(workspace: Workspace) -> None:
    """Two systems, a table with a hostile cell, a training, a warning."""
    ccc = {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in ("valence", "arousal", "mean")}
    figures = {"ccc": ccc, "rmse": {"mean": 0.3}}
    systems = {
        "dynamic": {"out_of_fold": figures, "as_published": figures, "train": figures},
        BEST: {"out_of_fold": figures, "as_published": figures, "optimism": 0.0},
    }
    content = {"best": BEST, "highest": BEST, "within_noise": [BEST], "confidence": 0.9, "systems": systems}
    write_json(workspace.metrics("evaluate.json"), content)
    note = {"stage": "index", "subject": HOSTILE, "file": f"{HOSTILE}.mp4", "problem": "</script>"}
    write_json(workspace.metrics("notes.json"), [note | {"remedy": "none", "quarantined": True}])
    tables = workspace.metrics("tables")
    tables.mkdir()
    table = Table("Table 5: systems", ["row", "mean"], [[HOSTILE, 0.5]], ["by `valaro`"])
    (tables / "table_5.md").write_text(table.markdown(), encoding="utf-8")
    figures = [
        f"{protocol}_mean{bound}"
        for protocol in ("as_published", "out_of_fold")
        for bound in ("", "_low", "_high")
    ]
    head = ["row", "system", *figures, "optimism", "paper_dev_mean"]
    rows = [["1 face", "dynamic", 0.5, 0.4, 0.6, 0.5, 0.4, 0.6, 0.0, 0.574]]
    rows.append(["2 both", BEST, 0.5, 0.4, 0.6, 0.5, 0.4, 0.6, 0.0, 0.591])
    write_csv(tables / "table_5.csv", head, rows)
    scores = [[name, "dynamic", "out_of_fold", 0.25] for name in NAMES]
    write_csv(workspace.metrics("per_video_all.csv"), ["subject", "system", "protocol", "mean_ccc"], scores)
    loss = workspace.metrics("dynamic/plots/train/loss.tsv")
    loss.parent.mkdir(parents=True, exist_ok=True)
    loss.write_text("step\tloss\n0\t1.0\n1\t0.5\n", encoding="utf-8")


def write_csv(path: Path, head: list[str], rows: list[list[Any]]) -> None:
    """A small file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, lay_models: LayModels) -> Path:
    """A repository in which all stages have run, the report last; tests don't change it."""
    root = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("DVC_ROOT", raising=False)
        lay_run(lay_models)
        report.report()
    return root


def lay_run(lay_models: LayModels) -> None:
    """What all stages but the report leave in the current folder."""
    workspace = Workspace()
    subjects = [Subject(name, name, None, "validation") for name in NAMES]
    subjects += [Subject("learnt", "learnt", None, "train"), Subject("lost", "lost", None, "validation")]
    videos = {subject.video: f"corpus/{subject.video}.mp4" for subject in subjects}
    facts = {subject.name: {"duration_s": 90.0, "labelled_frames": FRAMES - 5} for subject in subjects}
    workspace.write_corpus(Corpus(subjects, videos), source="data/sample/corpus", facts=facts)
    for subject, error in zip(subjects[:-1], (0.6, 0.4, 0.2, 0.05, 0.1), strict=True):  # `lost` was set aside
        write_subject(workspace, subject, error)
    lay_models(workspace)
    write_metrics(workspace)
    definition = {
        "stages": {"index": {"desc": HOSTILE, "outs": ["data/index"]}, "report": {"deps": ["data/index"]}}
    }
    Path("dvc.yaml").write_text(yaml.safe_dump(definition), encoding="utf-8")


@pytest.fixture
def reported(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The finished repository as the current folder, for tests that only read it."""
    monkeypatch.chdir(finished)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return Workspace()


@pytest.fixture
def workspace(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of the finished repository as the current folder, for tests that change it."""
    root = tmp_path / "run"
    shutil.copytree(finished, root)
    monkeypatch.chdir(root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return Workspace()


@pytest.fixture
def index(reported: Workspace) -> Page:
    """The run's page, made by the stage."""
    return Page(reported.metrics("report/index.html"))


def test_videos_are_ranked_worst_first_and_link_their_timelines(index: Page) -> None:
    links = [address for address in index.all("href") if address.startswith("videos/")]
    ranked = links[: len(NAMES)]
    assert [unquote(link) for link in ranked] == [f"videos/{name}.html" for name in NAMES]
    for link in links:
        assert (Path("metrics/report") / unquote(link)).is_file()


def test_it_says_that_it_is_the_sample_and_names_what_was_set_aside(index: Page) -> None:
    assert SAMPLE_NOTICE in index.text
    assert f"{HOSTILE}.mp4" in index.text
    assert "0.400 to 0.600" in index.text
    assert "90 % intervals" in index.text


def test_the_systems_within_the_noise_are_named_beside_the_highest(workspace: Workspace) -> None:
    def said() -> str:
        report.report()
        return " ".join(Page(workspace.metrics("report/index.html")).text.split())

    assert "is the highest, and is used for test." in said()
    scores = read_json(workspace.metrics("evaluate.json"))
    write_json(
        workspace.metrics("evaluate.json"), scores | {"within_noise": [BEST, "dynamic"], "best": "dynamic"}
    )
    assert re.search(
        r"(\S.*) is the highest; within its noise: 1 face\. The simplest of all these, 1 face, is used for test\.",
        said(),
    )


def test_a_run_that_nobody_is_heard_in_says_so(workspace: Workspace) -> None:
    def said() -> str:
        report.report()
        return " ".join(Page(workspace.metrics("report/index.html")).text.split())

    with_audio = said()
    assert "No score" not in with_audio
    assert "against the share of the time in which the person speaks" in with_audio
    scores = read_json(workspace.metrics("evaluate.json"))
    scores["systems"] |= {"audio": {}, "cross_attention": {}}
    write_json(workspace.metrics("evaluate.json"), scores)
    without = said()
    assert "No score, since they predict no validation video: audio, cross_attention." in without
    assert "No system of this run has learnt from sound." in without
    assert "against the share of the time in which the person speaks" not in without


def test_names_are_text_wherever_they_stand(index: Page) -> None:
    assert HOSTILE not in index.raw
    assert index.text.count(HOSTILE) >= 4, "ranking, table, warnings, pipeline"
    assert not [tag for tag, _ in index.tags if tag == "img"]
    assert not [key for _, attributes in index.tags for key in attributes if key.startswith("on")]
    assert "alert" not in index.scripts


@pytest.mark.parametrize("page", ["index", *NAMES])
def test_a_page_asks_no_network_and_runs_no_foreign_script(reported: Workspace, page: str) -> None:
    folder = reported.metrics("report")
    found = Page(folder / "index.html" if page == "index" else folder / "videos" / f"{page}.html")
    addresses = [*found.all("href"), *found.all("src")]
    assert not [a for a in addresses if re.match(r"[a-z]+:|//", a) and not a.startswith("data:")]
    assert "url(" not in found.raw
    assert "@import" not in found.raw
    (policy,) = (a["content"] for _, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    script = re.findall(r"<script>(.*?)</script>", found.raw, re.DOTALL)
    (digest,) = re.findall(r"'sha256-([^']+)'", policy)
    assert [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in script] == [digest]


def test_places_to_jump_to_exist_once(index: Page) -> None:
    names = index.all("id")
    assert len(set(names)) == len(names)
    assert {address[1:] for address in index.all("href") if address.startswith("#")} <= set(names)


def test_the_same_run_gives_the_same_bytes(workspace: Workspace) -> None:
    first = {path: path.read_bytes() for path in workspace.metrics("").rglob("*") if path.is_file()}
    (workspace.metrics("report") / "videos" / "no longer.html").write_text("left by an earlier corpus")
    report.report()
    assert {path: path.read_bytes() for path in workspace.metrics("").rglob("*") if path.is_file()} == first


def test_a_video_page_leads_back_and_has_the_out_of_fold_curves(reported: Workspace) -> None:
    page = Page(reported.metrics("report/videos/worst.html"))
    assert "../index.html" in page.all("href")
    assert "../../../corpus/worst.mp4" in page.all("src")
    for system in (*SYSTEMS, *FUSIONS):
        assert f'"name":"{system}"' in page.raw
    assert f"band around {BEST}" in page.text
    assert "holds HEVC (H.265) video" in page.text, "what the index knows of the file"


def test_every_model_has_a_card_that_the_report_leads_to(index: Page) -> None:
    links = [unquote(address) for address in index.all("href") if address.startswith("models/")]
    cards = {path.as_posix() for path in Path("metrics/report").glob("models/**/*.md")}
    assert {f"metrics/report/{address}" for address in links} == cards
    kinds = {"pretrained_static", "static", "dynamic.md", "kelm", "audio", "cross_attention.md", "fusion"}
    assert {address.split("/")[1] for address in links} == kinds


def test_plots_have_a_line_for_every_protocol(reported: Workspace) -> None:
    with reported.metrics("plots/systems.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["system"], row["protocol"]) for row in rows] == [
        (BEST, "out of fold"),
        (BEST, "as published"),
        ("dynamic", "out of fold"),
        ("dynamic", "as published"),
    ]
    assert {(row["mean_ccc"], row["low"], row["high"]) for row in rows} == {("0.5000", "0.4000", "0.6000")}


def test_windows_are_plotted_once_they_are_swept(workspace: Workspace) -> None:
    plotted, head = workspace.metrics("plots/windows.csv"), "window_s,valence_ccc,arousal_ccc,mean_ccc\n"
    assert plotted.read_text(encoding="utf-8") == head
    sweeps = workspace.metrics("sweeps")
    sweeps.mkdir()
    names = ["experiment", "valence_ccc", "arousal_ccc", "mean_ccc"]
    rows = [[4, "a", 0.5, 0.6, 0.55], [2, "b", 0.3, 0.4, 0.35], [4, "c", 0.7, 0.8, 0.75]]
    write_csv(sweeps / "dynamic.window_s.csv", ["dynamic.window_s", *names], rows)
    write_csv(sweeps / "dynamic.layers.csv", ["dynamic.layers", *names], rows)
    report.report()
    assert plotted.read_text(encoding="utf-8") == f"{head}2,0.3000,0.4000,0.3500\n4,0.6000,0.7000,0.6500\n"
    page = Page(workspace.metrics("report/index.html"))
    assert "valence from 0.3 to 0.6" in page.text
    assert "Not measured in this run" not in page.text


def test_a_live_page_shows_states_and_leads_to_the_same_videos(workspace: Workspace) -> None:
    page, folder = Path(".valaro/report.html"), workspace.metrics("report")
    live = Live({"index": "changed"}, {"index": "12 s"})
    write_overview(page, workspace, Path("dvc.yaml"), folder, live)
    assert "12 s" in Page(page).text
    assert "12 s" not in Page(folder / "index.html").text
    targets = [unquote(a) for a in Page(page).all("href") if a.endswith(".html")]
    assert len(targets) >= len(NAMES)
    assert all((page.parent / target).is_file() for target in targets)


def test_scores_and_counts_are_those_of_the_arrays(reported: Workspace) -> None:
    """Against sums over all frames at once."""
    validation = reported.corpus().of("validation")
    scores, agreement = gathered.gather(reported, validation, BEST)
    import h5py

    def array(folder: str, name: str) -> Any:
        with h5py.File(reported.artefact(folder, name)) as file:
            return file["valence_arousal"][()]

    truth, traces = (
        {name: array(folder, name) for name in NAMES} for folder in ("index", f"fused/{BEST}{OUT_OF_FOLD}")
    )
    assert [score.name for score in scores] == list(NAMES)
    for score in scores:
        assert [score.valence, score.arousal] == ccc_per_target(
            truth[score.name], traces[score.name]
        ).tolist()
        alone = ccc_per_target(truth[score.name], array(f"traces/dynamic{OUT_OF_FOLD}", score.name)).mean()
        assert score.gain == pytest.approx(score.mean - alone)
        assert (score.speaking, score.unseen) == pytest.approx((0.74, 0.1))
        assert score.frames == FRAMES - 5
    pooled = np.concatenate([truth[name][5:, 0] for name in NAMES])
    predicted = np.concatenate([traces[name][5:, 0] for name in NAMES])
    assert agreement.counts["valence"].sum() == len(pooled)
    means, truths, frames = agreement.calibration()["valence"]
    assert (means * frames).sum() == pytest.approx(predicted.sum(dtype=np.float64))
    assert (truths * frames).sum() == pytest.approx(pooled.sum(dtype=np.float64))
    inside = (predicted >= 0.5) & (predicted < 0.6)
    in_bin = (means >= 0.5) & (means < 0.6)
    assert frames[in_bin].sum() == inside.sum()
    assert truths[in_bin] == pytest.approx(pooled[inside].mean())


def test_facts_of_the_corpus_are_counted_by_split(reported: Workspace) -> None:
    facts = dict(gathered.corpus_rows(reported, reported.corpus()))
    assert facts["subjects"] == ["1", "4", "–", "5"]
    assert facts["frames"] == ["50", "200", "–", "250"]
    assert facts["labelled"] == ["90.0%", "90.0%", "–", "90.0%"]
    assert facts["time with a face"] == ["90%", "90%", "–", "90%"]
    assert facts["time with speech"] == ["74%", "74%", "–", "74%"]
    assert facts["length"] == ["0.2 min", "0.7 min", "–", "0.8 min"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (-0.5, "−0.500"), (float("nan"), "—"), (None, "—")]
)
def test_figures_are_written_for_people(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_code_in_a_note_is_marked_and_the_rest_escaped() -> None:
    assert coded("a <b> `c<d>` e") == "a &lt;b&gt; <code>c&lt;d&gt;</code> e"
