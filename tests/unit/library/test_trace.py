"""A trace as a table, a picture, a file."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.core.artefacts import write_json
from stages.core.errors import ValaroError
from valaro.recordings import table as table_module
from valaro.recordings.outputs import _abstaining
from valaro.recordings.table import ROWS, TracesTable, keep_rows
from valaro.trace import BOX_COLUMNS, Faces, Trace, no_faces, rounded, table_of

TIME_S = np.arange(6) / 10


def trace_of(name: str = "clip", *, faces: bool = True, interval: bool = True) -> Trace:
    """Six frames; the face is looked at twice, and lost the second time."""
    values = np.column_stack([np.linspace(-0.5, 0.5, 6), np.full(6, 0.25)]).astype(np.float32)
    seen = Faces(
        np.array([0.0, 0.4]),
        np.array([True, False]),
        np.array([[1, 2, 30, 40], [np.nan] * 4]),
        np.array([0.9, np.nan]),
        np.array([2, 0]),
    )
    return Trace(
        name=name,
        video=Path(f"{name}.mp4"),
        time_s=TIME_S,
        valence_arousal=values,
        detected=np.array([True, True, True, False, False, False]),
        speaking=np.zeros(6, bool),
        duration_s=0.6,
        summary={"system": "dynamic", "duration_s": 0.6, "notes": ["a <b>"]},
        notice="generated faces only",
        interval=np.stack([values - 0.1, values + 0.2], axis=2) if interval else None,
        faces=seen if faces else no_faces(),
    )


def test_a_row_per_frame_with_interval_and_face() -> None:
    table = trace_of().to_pandas()
    assert len(table) == 6
    assert table["frame"].tolist() == list(range(6))
    np.testing.assert_allclose(table["valence_low"], table["valence"] - 0.1, atol=1e-6)
    np.testing.assert_allclose(table["arousal_high"], table["arousal"] + 0.2, atol=1e-6)
    assert table["faces_in_frame"].tolist() == [2, 2, 2, 0, 0, 0]
    assert table.loc[0, list(BOX_COLUMNS)].tolist() == [1, 2, 30, 40]
    assert table["face_score"].isna().tolist() == [False] * 3 + [True] * 3
    assert table.attrs == {"name": "clip", "file": "clip.mp4", "notice": "generated faces only"}


def test_without_interval_or_pictures_the_cells_are_empty_and_the_columns_the_same() -> None:
    full, bare = trace_of().to_pandas(), trace_of(faces=False, interval=False).to_pandas()
    assert list(full) == list(bare)
    assert bare[["valence_low", "arousal_high", *BOX_COLUMNS]].isna().all(axis=None)
    assert bare["faces_in_frame"].eq(0).all()


def test_csv_comes_back_as_it_was(tmp_path: Path) -> None:
    trace = trace_of()
    trace.to_csv(tmp_path / "t.csv")
    back = pd.read_csv(tmp_path / "t.csv").fillna({"person": ""})
    expected = trace.to_pandas().astype({"detected": int, "speaking": int})
    pd.testing.assert_frame_equal(back, expected, check_dtype=False, atol=1e-6)
    assert "notice" not in back


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json", "vtt", "eaf", "png", "PNG"])
def test_every_format_by_its_ending(suffix: str, tmp_path: Path) -> None:
    trace_of().save(tmp_path / f"t.{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == [f"t.{suffix}"]
    assert (tmp_path / f"t.{suffix}").stat().st_size > 100


@pytest.mark.parametrize(("name", "said"), [("t.cvs", "Did you mean csv"), ("t", "is no format")])
def test_another_ending_is_refused(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValaroError, match=said):
        trace_of().save(tmp_path / name)
    assert not any(tmp_path.iterdir())


def test_it_shows_itself_in_a_notebook() -> None:
    trace = trace_of()
    assert trace._repr_png_().startswith(b"\x89PNG")
    shown = trace._repr_html_()
    assert "data:image/png;base64," in shown
    assert "a &lt;b&gt;" in shown and "a <b>" not in shown
    assert repr(trace) == "<Trace of 'clip': 0.6 s, 6 frames, mean valence -0.30, arousal +0.25, dynamic>"


def test_the_interval_is_in_the_picture() -> None:
    assert trace_of()._repr_png_() != trace_of(interval=False)._repr_png_()


def test_it_draws_into_axes_that_are_there() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    assert trace_of().plot(axes) is axes
    assert {line.get_label() for line in axes.lines} >= {"valence", "arousal"}


def test_one_table_over_several() -> None:
    table = table_of([trace_of("a"), trace_of("=b")])
    assert table["recording"].tolist() == ["a"] * 6 + ["'=b"] * 6  # no formula for a spreadsheet
    assert list(table)[1:] == list(trace_of().to_pandas())


def test_faces_as_a_table() -> None:
    table = trace_of().faces.to_pandas()
    assert table["time_s"].tolist() == [0.0, 0.4]
    assert table["detected"].tolist() == [True, False]


def placed(out: Path, trace: Trace, *suffixes: str) -> Path:
    """The folder of a finished recording, whose rows wait for the table."""
    folder = out / trace.name
    folder.mkdir(exist_ok=True)
    write_json(folder / f"{trace.name}.json", {"versions": {"valaro": "1"}})
    keep_rows(folder, trace, suffixes)
    return folder


def table_in(out: Path, *formats: str) -> TracesTable:
    """The table of a new run."""
    (out / "scratch").mkdir(exist_ok=True)
    return TracesTable(out, out / "scratch", formats)


@pytest.mark.parametrize("interval", [True, False])
def test_the_table_of_all_recordings_has_the_cells_of_pandas(tmp_path: Path, interval: bool) -> None:
    traces = [trace_of("a, b", interval=interval), trace_of("=c", faces=False), trace_of("d")]
    table = table_in(tmp_path, "csv")
    for trace in traces[::-1]:
        table.add(trace.video, placed(tmp_path, trace, *table.suffixes))
    table.finish([trace.video for trace in traces])
    expected = rounded(table_of(traces)).to_csv(index=False, lineterminator="\n")
    assert (tmp_path / "traces.csv").read_text(encoding="utf-8") == expected
    assert not list((tmp_path / "scratch").iterdir())
    assert not list(tmp_path.rglob(f"{ROWS}*"))


def recordings_of(out: Path) -> dict[str, list[str]]:
    """The recordings of both tables, in their order."""
    read = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    tables = {suffix: out / f"traces{suffix}" for suffix in read}
    found = {suffix: read[suffix](file)["recording"] for suffix, file in tables.items() if file.is_file()}
    assert all(column.value_counts().eq(6).all() for column in found.values()), "each recording once"
    return {suffix: column.drop_duplicates().tolist() for suffix, column in found.items()}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_rows_that_a_killed_run_left_come_with_the_next_run(suffix: str, tmp_path: Path) -> None:
    placed(tmp_path, trace_of("b"), suffix)
    placed(tmp_path, trace_of("a"), suffix)
    table = table_in(tmp_path)  # whatever formats it has
    table.add(Path("c.mp4"), placed(tmp_path, trace_of("c"), *table.suffixes))
    table.finish([Path("c.mp4")])
    assert recordings_of(tmp_path) == {suffix: ["a", "b", "c"]}
    table_in(tmp_path, suffix[1:]).finish([])
    assert recordings_of(tmp_path) == {suffix: ["a", "b", "c"]}


def test_a_run_that_is_killed_between_table_and_rows_leaves_no_row_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_in(tmp_path, "csv", "parquet")
    table.add(Path("a.mp4"), placed(tmp_path, trace_of("a"), *table.suffixes))
    with monkeypatch.context() as killed:
        killed.setattr("valaro.recordings.table.remove", lambda _path: None)
        table.finish([Path("a.mp4")])
    assert len(list(tmp_path.rglob(f"{ROWS}*"))) == 2
    table_in(tmp_path, "csv").finish([])
    assert recordings_of(tmp_path) == {".csv": ["a"], ".parquet": ["a"]}
    assert not list(tmp_path.rglob(f"{ROWS}*"))


def test_a_table_that_a_run_does_not_write_follows_its_results(tmp_path: Path) -> None:
    """Else it would have the values of the run before, for good."""
    for valence, formats in [(0.5, ["csv"]), (-0.5, [])]:
        trace = trace_of("a")
        trace.valence_arousal[:, 0] = valence
        table = table_in(tmp_path, *formats)
        table.add(trace.video, placed(tmp_path, trace, *table.suffixes))
        table.finish([trace.video])
        assert pd.read_csv(tmp_path / "traces.csv")["valence"].unique() == [valence]


def test_rows_in_a_folder_that_is_no_result_are_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / f"mine/{ROWS}.csv"
    mine.parent.mkdir()
    mine.write_text("work")
    table_in(tmp_path, "csv").finish([])
    assert mine.read_text() == "work"
    assert not (tmp_path / "traces.csv").exists()


def test_people_whom_a_later_run_does_not_find_leave_the_tables(tmp_path: Path) -> None:
    """A run for everyone replaces the earlier one wholly; a recording of such a name stays."""
    own = trace_of("clip-person-7")
    runs = [
        [own, *(replace(trace_of(f"clip-person-{k}"), person=str(k)) for k in (1, 2, 3))],
        [replace(trace_of("clip-person-1"), person="1")],
    ]
    for traces in runs:
        table = table_in(tmp_path, "csv", "parquet")
        for trace in traces:
            table.add(Path("clip.mp4"), placed(tmp_path, trace, *table.suffixes))
        table.finish([Path("clip.mp4")])
    expected = ["clip-person-7", "clip-person-1"]
    assert recordings_of(tmp_path) == {".csv": expected, ".parquet": expected}


def test_a_table_without_room_is_named_and_the_other_is_written_and_completed_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    table, trace = table_in(tmp_path, "csv", "parquet"), trace_of()
    table.add(trace.video, placed(tmp_path, trace, *table.suffixes))
    with monkeypatch.context() as narrow:
        narrow.setitem(table_module._WRITERS, ".csv", full)
        with pytest.raises(ValaroError, match=r"traces\.csv: No space left on device\. .* make room"):
            table.finish([trace.video])
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["traces.parquet"]
    table_in(tmp_path).finish([])
    assert recordings_of(tmp_path) == {".csv": ["clip"], ".parquet": ["clip"]}


def test_a_plot_has_gaps_where_frames_are_left_out() -> None:
    trace = trace_of()
    kept = np.array([0, 1, 4, 5])
    part = replace(
        trace,
        frame=kept,
        **{
            name: getattr(trace, name)[kept]
            for name in ("time_s", "valence_arousal", "detected", "speaking", "interval")
        },
    )
    for line in part.plot().lines[-2:]:
        np.testing.assert_allclose(line.get_xdata(), [0, 0.1, 0.2, 0.4, 0.5])
        assert np.isnan(line.get_ydata()).tolist() == [False, False, True, False, False]


def test_means_are_over_the_frames_that_are_not_left_out() -> None:
    trace = trace_of()
    assert trace.interval is not None
    wide = trace.interval.copy()
    wide[:2, :, 1] = 1.0
    summary = {**trace.summary, "kind": "video", "mean_over": "frames with a face"}
    kept = _abstaining(replace(trace, interval=wide, summary=summary), 0.5)
    assert kept.frames.tolist() == [2, 3, 4, 5]
    assert kept.summary["mean_over"] == "frames with a face that aren't left out"
    assert kept.summary["valence"] == {
        "mean": pytest.approx(-0.1),
        "sd": 0,
    }  # frame 2: the others show no face
