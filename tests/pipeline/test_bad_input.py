"""Input that can't be used is set aside with file, problem and remedy; the others go on."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stages.core.artefacts import read_arrays, read_facts, read_json

SHORT_S = tuple(np.arange(10) / 25)
ROWS = len(SHORT_S)
LABELS = "corpus/annotations/VA_Estimation_Challenge"
ODD_NAMES = ["with two  spaces", 'it\'s "quoted", twice', "Zoë 大", "two.dots.v1", "-rf", "100%"]


def rows(count: int = ROWS, **odd: str) -> str:
    """A label file of `count` rows, some of them replaced: row3="a,b"."""
    lines = [odd.get(f"row{number}", "0.25,-0.5") for number in range(count)]
    return "\n".join([odd.get("header", "valence,arousal"), *lines]) + "\n"


# name of the subject -> text of its label file, words of the problem (None: there is none)
LABEL_FILES: dict[str, tuple[str | bytes, str | None]] = {
    "header_is_wrong": (rows(header="arousal,valence"), "line 1 is 'arousal,valence'"),
    "header_is_missing": (rows(header="0.1,0.2"), "line 1 is '0.1,0.2'"),
    "not_numeric": (rows(row3="0.1,happy"), "line 5: '0.1,happy' is not numeric"),
    "out_of_range": (rows(row0="0.1,1.5"), "line 2: arousal is 1.5, outside [-1, 1]"),
    "not_a_number": (rows(row9="nan,0"), "line 11: valence is nan, outside [-1, 1]"),
    "infinite": (rows(row9="0,-inf"), "line 11: arousal is -inf, outside [-1, 1]"),
    "three_columns": (rows(row1="0,0,0"), "line 3: '0,0,0' has 3 values"),
    "hole": (rows(row1=""), "line 3: '' has 0 values"),
    "only_a_header": (rows(0), "no label after the header"),
    "empty_labels": (b"", "the file is empty"),
    "binary_labels": (b"valence,arousal\n\xff\xfe0", "byte 16 is not UTF-8"),
    "windows_labels": (b"\xef\xbb\xbf" + rows().replace("\n", "\r\n").encode() + b"\r\n\r\n", None),
    "unlabelled_frames": (rows(row2="-5,-5", row4="-5,0.5"), None),
    "many_more_rows": (rows(ROWS + 30), "30 label rows more than frames (40 rows, 10 frames: 300.0%)"),
    "many_fewer_rows": (rows(1), "9 label rows fewer than frames (1 rows, 10 frames: 90.0%)"),
    "a_few_more_rows": (rows(ROWS + 5), "5 label rows more than frames"),  # more than 1 %
}


class Corpus:
    """A corpus in the workspace that is filled step by step."""

    def __init__(self, workspace: Any, good: Path) -> None:
        self.workspace, self.good = workspace, good

    def video(self, name: str, content: bytes | Path | None = None) -> None:
        """A video file by its path below videos/; by default a good one."""
        path = self.workspace / f"corpus/videos/{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            shutil.copy(content or self.good, path)

    def labels(self, name: str, text: str | bytes | None = None, split: str = "Train_Set") -> None:
        """A label file; by default a good one for ROWS frames."""
        path = self.workspace / LABELS / split / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = rows() if text is None else text
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def both(
        self, name: str, content: bytes | Path | None = None, suffix: str = ".mp4", count: int = ROWS
    ) -> None:
        """A video and its labels."""
        self.video(name + suffix, content)
        self.labels(name, rows(count))


def sound_only(folder: Path) -> Path:
    path = folder / "sound_only.mp4"
    with av.open(str(path), "w") as out:
        speaker = out.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        out.mux(speaker.encode(frame))
        out.mux(speaker.encode(None))
    return path


def overwritten(film: Path, start: float, end: float) -> bytes:
    """The bytes of a film, a part of them zero."""
    content = bytearray(film.read_bytes())
    place = slice(round(start * len(content)), round(end * len(content)))
    content[place] = bytes(len(content[place]))
    return bytes(content)


def wall(time_s: float) -> np.ndarray:
    """Nobody's face: a moving gradient."""
    ramp = (np.arange(256) + 100 * time_s).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (128, 256, 3)))


@pytest.fixture(scope="module")
def zoo(code: Any, film: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A workspace with one good video and every kind of bad one, through index, decode and faces."""
    folder = tmp_path_factory.mktemp("zoo")
    workspace = type(code)(folder / "workspace", code.environment)
    shutil.copytree(code.folder, workspace.folder, symlinks=True)
    long, short = film("long.mkv"), film("short.mp4", times_s=SHORT_S)
    corpus = Corpus(workspace, short)
    corpus.both("good")
    corpus.both("empty", b"")
    corpus.both("truncated", film("long.mp4").read_bytes()[:20_000])  # its table of contents is at the end
    corpus.both("cut", long.read_bytes()[: long.stat().st_size // 2], ".mkv", 80)
    corpus.both("damaged", overwritten(long, 0.4, 0.7), ".mkv", 80)
    corpus.both("text", b"This is a shopping list, not a film.\n" * 50)
    corpus.both("picture", (np.zeros((4, 4)).tobytes()), ".avi")
    corpus.both("no_pictures", sound_only(folder))
    corpus.both("mute", film("silent.mp4", times_s=SHORT_S, sound=False))
    corpus.both("still", film("still.mp4", times_s=[0.0]), count=1)
    corpus.both("nobody", film("nobody.mp4", times_s=SHORT_S, draw=wall))
    for name, (text, _) in LABEL_FILES.items():
        corpus.video(f"{name}.mp4")
        corpus.labels(name, text)
    for name in ODD_NAMES:
        corpus.both(name)
    corpus.video("not_labelled.mp4")
    corpus.labels("no_video", split="Validation_Set")
    corpus.video("one/twin.mp4")
    corpus.video("two/twin.mkv", long)
    corpus.labels("twin")
    corpus.labels("good", split="Validation_Set")  # a second time
    corpus.video("tested.mp4")
    (workspace / "corpus/annotations/VA_test_set_release.txt").write_text("tested\nno_such_test\n../evil\n")
    workspace.output = "".join(workspace.stage(name) for name in ("index", "decode", "faces"))
    return workspace


def noted(workspace: Any, stage: str, subject: str) -> list[dict[str, Any]]:
    return [note for note in read_json(workspace / f"data/{stage}/notes.json") if note["subject"] == subject]


SET_ASIDE = {
    "empty": ("empty.mp4", "empty"),
    "truncated": ("truncated.mp4", ""),
    "text": ("text.mp4", ""),
    "picture": ("picture.avi", ""),
    "no_pictures": ("no_pictures.mp4", "no video"),
    "no_video": ("no_video.txt", "no video named 'no_video'"),
    "twin": ("twin", ""),
    "no_such_test": ("VA_test_set_release.txt", "no video named"),
    "../evil": ("VA_test_set_release.txt", "can't be a file name"),
    **{
        name: (f"{name}.txt", problem)
        for name, (_, problem) in LABEL_FILES.items()
        if problem and "rows" not in problem
    },
}


@pytest.mark.parametrize("subject", SET_ASIDE)
def test_it_is_set_aside_with_its_file_its_problem_and_a_remedy(zoo: Any, subject: str) -> None:
    file, problem = SET_ASIDE[subject]
    for note in noted(zoo, "index", subject):
        assert note["quarantined"]
        assert file in note["file"]
        assert len(note["problem"]) > 5
        assert len(note["remedy"]) > 5
    assert any(problem in note["problem"] for note in noted(zoo, "index", subject))
    assert subject not in {s["name"] for s in read_json(zoo / "data/index/corpus.json")["subjects"]}
    assert not (zoo / f"data/index/{subject}.h5").exists()
    assert not (zoo / f"data/decode/{subject}.h5").exists()


REMARKS = [
    *(
        ("index", name, f"{name}.txt", problem)
        for name, (_, problem) in LABEL_FILES.items()
        if problem and "rows" in problem
    ),
    ("index", "cut", "cut.txt", "label rows more than frames"),
    ("index", "not_labelled", "not_labelled.mp4", "neither labelled nor in the test list"),
    ("index", "good", "good.txt", "'good' is in train too"),
    ("decode", "mute", "mute.mp4", "no audio stream"),
    ("decode", "damaged", "damaged.mkv", "can't be decoded"),
    ("faces", "nobody", "nobody.h5", "no face of nobody in any of 2 frames"),
]


@pytest.mark.parametrize(("stage", "subject", "file", "problem"), REMARKS)
def test_it_is_remarked_on(zoo: Any, stage: str, subject: str, file: str, problem: str) -> None:
    notes = [note for note in noted(zoo, stage, subject) if problem in note["problem"]]
    assert notes, noted(zoo, stage, subject)
    assert file in notes[0]["file"]
    assert notes[0]["remedy"]
    if subject not in ("not_labelled",):
        assert (zoo / f"data/faces/{subject}.h5").is_file(), "and it goes on"


USED = [
    "good",
    "tested",
    "mute",
    "still",
    "nobody",
    "windows_labels",
    "unlabelled_frames",
    "many_more_rows",
    *ODD_NAMES,
]


@pytest.mark.parametrize("subject", USED)
def test_the_others_go_on(zoo: Any, subject: str) -> None:
    frames = 1 if subject == "still" else ROWS
    index = read_arrays(zoo / f"data/index/{subject}.h5")
    assert len(index["time_s"]) == len(index["labelled"]) == frames
    if subject not in ("tested", "unlabelled_frames"):
        assert index["labelled"].all()
        np.testing.assert_allclose(index["valence_arousal"], np.tile([0.25, -0.5], (frames, 1)))
    decoded = read_arrays(zoo / f"data/decode/{subject}.h5", "time_s", "frame_time_s")
    np.testing.assert_allclose(decoded["time_s"], [0.0] if subject == "still" else [0.0, 0.2])
    np.testing.assert_allclose(decoded["frame_time_s"], decoded["time_s"], atol=1e-4)
    detected = read_arrays(zoo / f"data/faces/{subject}.h5", "detected")["detected"]
    assert detected.all() == (subject != "nobody")


def test_every_usable_subject_is_there_and_no_other(zoo: Any) -> None:
    subjects = {subject["name"]: subject for subject in read_json(zoo / "data/index/corpus.json")["subjects"]}
    labelled = [name for name, (_, problem) in LABEL_FILES.items() if not problem or "rows" in problem]
    assert sorted(subjects) == sorted({*USED, *labelled, "cut", "damaged"})
    assert subjects["tested"]["split"] == "test"
    assert not subjects["good"]["side"]
    assert read_facts(zoo / "data/index/unlabelled_frames.h5")["labelled_frames"] == ROWS - 2


def test_the_console_says_so(zoo: Any) -> None:
    assert "index: SET ASIDE: corpus/" in zoo.output
    assert "more notes" in zoo.output
    assert "Traceback" not in zoo.output


@pytest.fixture
def few(workspace: Any, film: Callable[..., Path]) -> Corpus:
    """A workspace with a good video and its labels."""
    corpus = Corpus(workspace, film("short.mp4", times_s=SHORT_S))
    corpus.both("good")
    (workspace / "corpus/annotations/VA_test_set_release.txt").write_text("")
    return corpus


@pytest.mark.parametrize("kind", ["video", "labels", "names"])
def test_the_user_may_want_the_run_to_fail_instead(few: Corpus, kind: str) -> None:
    if kind == "video":
        few.both("bad", b"")
    elif kind == "labels":
        few.both("bad")
        few.labels("bad", "arousal\n")
    else:
        few.labels("bad")
    few.workspace.set({"index": {"on_bad_input": "fail"}})
    output = few.workspace.stage("index", fails=True)
    (error,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "bad" + (".mp4" if kind == "video" else ".txt") in error
    assert "index.on_bad_input is fail" in error
    assert "Traceback" not in output
    few.workspace.set({"index": {"on_bad_input": "warn"}})
    assert "SET ASIDE" in few.workspace.stage("index")


def test_what_decode_would_refuse_is_set_aside_by_the_index(few: Corpus, film: Callable[..., Path]) -> None:
    few.both("long", film("long.mp4"), count=80)
    few.workspace.set({"decode": {"max_duration_s": 1.0}})
    output = few.workspace.stage("index")
    (note,) = noted(few.workspace, "index", "long")
    assert note["quarantined"]
    assert note["file"].endswith("long.mp4")
    assert "1 s allowed" in note["problem"]
    assert "SET ASIDE" in output
    few.workspace.stage("decode")
    few.workspace.stage("faces")
    assert [path.name for path in (few.workspace / "data/faces").iterdir() if path.suffix == ".h5"] == [
        "good.h5"
    ]
    few.workspace.set({"index": {"on_bad_input": "fail"}})
    assert "long.mp4" in few.workspace.stage("index", fails=True)


def snow(time_s: float) -> np.ndarray:
    """Pictures that no JPEG makes small."""
    return np.random.default_rng(round(1000 * time_s)).integers(0, 256, (256, 256, 3), np.uint8)


@pytest.mark.parametrize(("limit", "most"), [("max_jpeg_bytes", 100_000), ("max_audio_samples", 30_000)])
def test_what_shows_its_size_only_when_it_is_decoded_is_set_aside_then(
    few: Corpus, film: Callable[..., Path], limit: str, most: int
) -> None:
    few.both("large", film("large.mp4", draw=snow), count=80)
    few.workspace.set({"decode": {limit: most, "keep_frames": True}})
    few.workspace.stage("index")
    output = few.workspace.stage("decode")
    (note,) = noted(few.workspace, "decode", "large")
    assert note["quarantined"]
    assert note["file"].endswith("large.mp4")
    assert str(most) in note["problem"]
    assert f"decode.{limit}" in note["remedy"]
    assert "SET ASIDE" in output
    assert not list((few.workspace / "data/decode").glob("*large*"))
    assert (few.workspace / "data/decode/good.h5").is_file()
    few.workspace.stage("faces")
    few.workspace.set({"index": {"on_bad_input": "fail"}})
    few.workspace.stage("index")
    assert "large.mp4" in few.workspace.stage("decode", fails=True)


def test_a_video_that_becomes_bad_leaves_nothing_of_its_better_days(few: Corpus) -> None:
    few.both("once good")
    few.workspace.stage("index")
    assert (few.workspace / "data/index/once good.h5").is_file()
    few.video("once good.mp4", b"")
    few.workspace.stage("index")
    assert [s["name"] for s in read_json(few.workspace / "data/index/corpus.json")["subjects"]] == ["good"]
    assert not (few.workspace / "data/index/once good.h5").exists()


@pytest.mark.parametrize(
    ("remove", "says"),
    [
        ("corpus/videos", "Set index.corpus and index.videos"),
        ("corpus/annotations", "Set index.corpus and index.annotations"),
        ("corpus/annotations/VA_test_set_release.txt", "Set index.test_list, or make it null"),
    ],
)
def test_a_missing_part_of_the_corpus_is_one_line(few: Corpus, remove: str, says: str) -> None:
    (few.workspace / remove).rename(few.workspace / "elsewhere")
    output = few.workspace.stage("index", fails=True)
    assert says in output
    assert "Traceback" not in output
