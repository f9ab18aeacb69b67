"""Results that an earlier run finished: kept where this run would write the same, else refused with the reason."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artefacts import write_json
from stages.core.errors import BadInput, ValaroError
from stages.exports.trace import Trace as ExportedTrace
from stages.exports.whose import END_BYTES, source_of
from valaro.recordings import batch, resume
from valaro.recordings.batch import Files, Named, Outcome, Task
from valaro.recordings.formats import TRACE
from valaro.recordings.resume import differences, keep_trace, kept_trace, made_with
from valaro.recordings.starter import STARTER
from valaro.recordings.table import TracesTable
from valaro.recordings.trained import Trained, find_trained
from valaro.trace import Faces, Trace, no_faces

FACTS = {
    "kind": "video",
    "frames": 5,
    "duration_s": 1 / 3,
    "video_start_s": 0.0,
    "notice": "a sample",
    "person": None,
}
FACTS |= {"people": [{"person": 1}, {"person": 2}], "versions": {"valaro": "1"}, "file": "a.mp4"}
MADE_WITH = {"system": "static", "models": "0123", "parameters": {"faces": "1", "voice": "2"}}
COMPUTED = "it is computed"


def trace_of(name: str, *, sound: bool = False, abstaining: bool = False, person: str = "") -> Trace:
    """Values that no text of six decimals holds."""
    rng = np.random.default_rng(len(name))
    values = rng.uniform(-1, 1, (5, 2)).astype(np.float32)
    values[0] = np.nan
    grid = (np.array([0.0, 0.2]), np.array([True, False]), rng.uniform(0, 99, (2, 4)), rng.uniform(size=2))
    trace = Trace(
        name=name,
        video=Path(f"{name}.mp4"),
        time_s=np.arange(5) / 29.97,
        valence_arousal=values,
        detected=np.array([True, True, True, False, False]),
        speaking=np.array([False, True, False, False, True]),
        duration_s=1 / 3,
        summary=FACTS | {"person": person or None, "mean": 1 / 3},
        notice="a sample",
        person=person,
        every_frame=np.nan_to_num(values),
        interval=None if sound else np.stack([values - 0.1, values + rng.uniform(0, 1, (5, 2))], axis=2),
        faces=no_faces() if sound else Faces(*grid, np.array([1, 0], np.int32)),
    )
    return trace.confident(0.9) if abstaining else trace


def finish(
    out: Path, name: str, recording: Path, *, formats: tuple[str, ...] = ("csv",), person: str = ""
) -> Trace:
    """Leave what a run leaves of a recording."""
    folder, trace = out / name, trace_of(name, person=person)
    folder.mkdir(parents=True)
    identity = {"source": source_of(recording, folder), "made_with": MADE_WITH}
    trace = replace(trace, summary=trace.summary | identity)
    frames: dict[str, Any] = {"frames": {}} if "json" in formats else {}
    write_json(folder / f"{name}.json", trace.summary | frames)
    for suffix in {*formats} - {"json"}:
        (folder / f"{name}.{suffix}").touch()
    keep_trace(folder, trace)
    return trace


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Longer than its ends."""
    path = tmp_path / "a.mp4"
    path.write_bytes(os.urandom(3 * END_BYTES))
    return path


@pytest.fixture
def outcomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Outcome]]:
    """Predict recordings; a system at work is an error that says so."""

    def analyse(recording: Path, *_: Any, **__: Any) -> None:
        raise BadInput(recording, COMPUTED, "")

    monkeypatch.setattr(batch, "kind_of", lambda _: "video")
    monkeypatch.setattr(batch, "for_kind", lambda *_: None)
    monkeypatch.setattr(batch, "analyse", analyse)
    (tmp_path / "scratch").mkdir()

    def predict(
        *recordings: Path,
        formats: tuple[str, ...] = ("csv",),
        force: bool = False,
        person: str | None = None,
        made: dict[str, Any] = MADE_WITH,
        jobs: int = 1,
    ) -> list[Outcome]:
        files = Files(tmp_path / "out", formats, force)
        task = Task(tmp_path / "scratch", None, files, lambda *_: None, person, made_with=made)  # type: ignore[arg-type]
        return [*batch.predict_all(task, [Named(one, one.stem) for one in recordings], jobs)]

    return predict


def assert_equal(found: ExportedTrace | None, expected: Trace) -> None:
    """Every field, to the last bit and with its type."""
    assert found is not None
    for name in ("name", "duration_s", "video_start_s", "notice", "person"):
        assert getattr(found, name) == getattr(expected, name)
    pairs = [(getattr(found, name), getattr(expected, name)) for name in resume.OF_TRACE]
    pairs += [(getattr(found.faces, name), getattr(expected.faces, name)) for name in resume.OF_FACES]  # type: ignore[attr-defined]
    for array, wanted in pairs:
        assert (array is None) == (wanted is None)
        if wanted is not None:
            assert array.dtype == wanted.dtype
            np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize("how", [{}, {"sound": True}, {"abstaining": True}, {"person": "2"}])
def test_a_trace_comes_back_without_loss(how: dict[str, Any], tmp_path: Path) -> None:
    trace = trace_of("a", **how)
    keep_trace(tmp_path, trace)
    back = kept_trace(tmp_path, trace.video)
    assert_equal(replace(back, name="a"), trace)
    assert back.summary == trace.summary


def test_a_damaged_trace_is_an_error_of_its_recording(
    outcomes: Callable[..., list[Outcome]], recording: Path, tmp_path: Path
) -> None:
    finish(tmp_path / "out", "a", recording)
    kept = tmp_path / "out/a" / TRACE
    kept.write_bytes(kept.read_bytes()[:200])
    [one] = outcomes(recording)
    assert "can't be read" in str(one.error)


def test_finished_recordings_are_kept_and_the_others_computed(
    outcomes: Callable[..., list[Outcome]], recording: Path, tmp_path: Path
) -> None:
    trace = finish(tmp_path / "out", "a", recording, formats=("csv", "vtt", "json"))
    (tmp_path / "b.mp4").write_bytes(b"b")
    one, other = outcomes(recording, tmp_path / "b.mp4", formats=("csv", "json"))
    assert (one.error, one.kept, one.folder) == (None, True, tmp_path / "out/a")
    assert_equal(one.trace, trace)
    assert COMPUTED in str(other.error)
    [again] = outcomes(recording, force=True)
    assert COMPUTED in str(again.error)


def test_formats_that_are_missing_are_added_from_the_trace(
    outcomes: Callable[..., list[Outcome]], recording: Path, tmp_path: Path
) -> None:
    trace, out = finish(tmp_path / "out", "a", recording), tmp_path / "out/a"
    (out / "a.csv").write_text("as it was")
    [one] = outcomes(recording, formats=("csv", "vtt", "json", "parquet", "png"))
    assert (one.error, one.kept) == (None, True)
    assert {path.suffix for path in out.glob("a.*")} == {".csv", ".json", ".parquet", ".png", ".vtt"}
    assert (out / "a.csv").read_text() == "as it was"
    trace.save(tmp_path / "a.vtt")
    assert (out / "a.vtt").read_bytes() == (tmp_path / "a.vtt").read_bytes()
    frames = json.loads((out / "a.json").read_text())["frames"]
    assert frames["arousal"] == [None, *trace.arousal[1:].astype(float).round(6)]
    assert not list((tmp_path / "scratch").iterdir())
    [again] = outcomes(recording, formats=("json",))
    assert_equal(again.trace, trace)


def test_with_several_jobs_those_that_are_kept_start_no_process(
    outcomes: Callable[..., list[Outcome]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "map_with_crash_recovery", lambda _do, videos, *_: iter([[]] * len(videos)))
    recordings = [tmp_path / f"{name}.mp4" for name in "abc"]
    for one in recordings:
        one.write_bytes(one.name.encode())
        finish(tmp_path / "out", one.stem, one)
    assert [one.trace and one.trace.name for one in outcomes(*recordings, jobs=2)] == ["a", "b", "c"]


def middle_changed(recording: Path, _folder: Path) -> None:
    """Neither the size nor the ends tell it."""
    with recording.open("r+b") as file:
        file.seek(3 * END_BYTES // 2)
        file.write(b"beep")
    os.utime(recording, ns=(1, 1))


def without_the_facts(_recording: Path, folder: Path) -> None:
    """As an earlier version left it."""
    summary = json.loads((folder / "a.json").read_text())
    del summary["made_with"], summary["source"]["sha256"], summary["source"]["changed_ns"]
    write_json(folder / "a.json", summary)


SPOILT: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "content": (middle_changed, "with results of this file before it changed"),
    "earlier version": (without_the_facts, "with results of an earlier version"),
    "no trace": (lambda _, folder: (folder / TRACE).unlink(), f"without {TRACE}."),
    "no summary": (lambda _, folder: (folder / "a.json").unlink(), "with something else in it"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_what_is_not_the_same_is_refused_with_the_reason(
    case: str, outcomes: Callable[..., list[Outcome]], recording: Path, tmp_path: Path
) -> None:
    spoil, said = SPOILT[case]
    finish(tmp_path / "out", "a", recording)
    spoil(recording, tmp_path / "out/a")
    [one] = outcomes(recording)
    assert one.trace is None
    assert f"exists already, {said}" in str(one.error)


@pytest.mark.parametrize(
    ("formats", "changed", "said"),
    [
        (("csv", "eaf", "html", "mp4"), {}, "without html, mp4."),
        (("csv",), {"system": "audio"}, "made with system static, now audio."),
        (("csv",), {"models": "4567"}, "made with other models."),
        (("csv",), {"parameters": {"faces": "1", "voice": "3"}}, "made with other parameters (voice)."),
        (("csv",), {"of a later version": 1}, "made with other of a later version."),
    ],
)
def test_other_settings_and_formats_are_refused_by_name(
    formats: tuple[str, ...],
    changed: dict[str, Any],
    said: str,
    outcomes: Callable[..., list[Outcome]],
    recording: Path,
    tmp_path: Path,
) -> None:
    finish(tmp_path / "out", "a", recording)
    [one] = outcomes(recording, formats=formats, made=MADE_WITH | changed)
    assert f"exists already, {said} Use --force" in str(one.error)


def test_a_recording_that_was_only_copied_or_touched_is_the_same(
    outcomes: Callable[..., list[Outcome]], recording: Path, tmp_path: Path
) -> None:
    finish(tmp_path / "out", "a", recording)
    os.utime(recording, ns=(1, 1))
    assert outcomes(recording)[0].kept


def test_all_people_are_kept_or_all_are_computed(
    outcomes: Callable[..., list[Outcome]], recording: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    traces = [finish(out, f"a-person-{k}", recording, person=str(k)) for k in (2, 1)]
    kept = outcomes(recording, person="all")
    for one, trace in zip(kept, traces[::-1], strict=True):
        assert_equal(one.trace, trace)
    assert [one.more for one in kept] == [True, False]
    (out / "a-person-2").rename(out / "elsewhere")
    [one] = outcomes(recording, person="all")
    assert COMPUTED in str(one.error)  # and isn't refused for what is left of them


@pytest.fixture(scope="module")
def starter() -> Trained:
    """A system."""
    return find_trained(STARTER, "static")


def with_params(section: str, **values: Any) -> Callable[[Trained], Trained]:
    """The system with other parameters."""

    def change(trained: Trained) -> Trained:
        part = getattr(trained.params, section).model_copy(update=values)
        return replace(trained, params=trained.params.model_copy(update={section: part}))

    return change


CHANGES: dict[str, tuple[Callable[[Trained], Trained], list[str]]] = {
    "nothing": (lambda trained: trained, []),
    "track": (lambda trained: trained.hearing(1), ["audio track none, now 1"]),
    "detector": (with_params("faces", detector="blazeface"), ["now blazeface"]),
    "target": (with_params("faces", target="left"), ["person prominent, now left"]),
    "smoothing": (with_params("smooth", window_s=9.0), ["other parameters (smooth)"]),
    "limits": (with_params("decode", fps_hz=9.0), ["other parameters (decode)"]),
    "precision": (with_params("compute", precision="bfloat16"), ["other parameters (compute)"]),
    "jobs": (with_params("compute", jobs=7), []),
    "weights": (
        lambda trained: replace(trained, models_md5={"static/starter.safetensors": "0"}),
        ["other models"],
    ),
    "system": (lambda trained: replace(trained, system="kelm"), ["system static, now kelm"]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_determines_the_values_is_told_apart(case: str, starter: Trained) -> None:
    change, said = CHANGES[case]
    now = made_with(change(starter), None, hold=False, abstain=None)
    then = json.loads(json.dumps(made_with(starter, None, hold=False, abstain=None)))
    found = differences(then, now)
    assert len(found) == len(said)
    assert all(words in one for words, one in zip(said, found, strict=True))


def test_options_code_and_libraries_count_too(starter: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    then = made_with(starter, "prominent", hold=False, abstain=None)
    assert differences(then, made_with(starter, None, hold=False, abstain=None)) == []
    monkeypatch.setattr(resume, "_code", lambda: "other")
    monkeypatch.setattr(resume, "_libraries", lambda: then["libraries"] | {"av": "99"})
    monkeypatch.setattr(resume, "torch_device", lambda: "cuda:1")
    said = ["device cpu, now cuda", "person prominent, now all", "hold no, now yes", "abstain none, now 0.5"]
    found = differences(then, made_with(starter, "all", hold=True, abstain=0.5))
    assert found == [*said, "another version of Valaro", "other libraries (av)"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_gets_the_rows_of_kept_recordings_that_it_lacks(suffix: str, tmp_path: Path) -> None:
    names = ["a, b", "recording", "=c", 'd"']
    recording = tmp_path / "x.mp4"
    recording.touch()
    traces = {name: finish(tmp_path / "out", name, recording) for name in names}
    (tmp_path / "scratch").mkdir()
    for kept in (names[::2], names, names):
        table = TracesTable(tmp_path / "out", tmp_path / "scratch", [suffix])
        for name in kept:
            table.keep(Path(name), tmp_path / "out" / name, traces[name])
        table.finish([*map(Path, kept)])
    import pandas as pd

    file = tmp_path / f"out/traces.{suffix}"
    rows = pd.read_csv(file) if suffix == "csv" else pd.read_parquet(file)
    assert rows["recording"].tolist() == [
        name for name in ("a, b", "'=c", "recording", 'd"') for _ in range(5)
    ]
    assert not list(tmp_path.glob("out/*/.valaro-rows*"))


def test_a_trace_that_is_not_there_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValaroError, match=r"can't be read .*--force"):
        kept_trace(tmp_path, tmp_path / "a.mp4")
