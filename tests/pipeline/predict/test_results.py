"""`valaro predict` from the file to the results, with tiny models of random weights."""

import csv
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from stages.core.artefacts import write_json
from stages.core.systems import FUSIONS, SYSTEMS
from stages.exports.origins import SAMPLE_NOTICE
from valaro.recordings.formats import KNOWN_FORMATS

from .conftest import TIMES_S, Run, record, summary, table


def test_every_native_frame_gets_a_row_and_every_output_the_notice(
    run: Run, portrait: Path, tmp_path: Path
) -> None:
    result = run(portrait)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "out" / "portrait"
    assert sorted(p.name for p in folder.glob("[!.]*")) == [
        f"portrait.{s}" for s in ("csv", "json", "mp4", "png")
    ]
    left = sorted(p.name for p in folder.parent.iterdir())
    assert left == ["portrait", "traces.csv"]  # nothing hidden
    header, rows = table(folder)
    ends = ["valence_low", "valence_high", "arousal_low", "arousal_high"]
    assert header == ["frame", "time_s", "valence", "arousal", "detected", "speaking", *ends]
    assert (rows[:, 6] <= rows[:, 2]).all()
    assert (rows[:, 2] <= rows[:, 7]).all()
    assert np.array_equal(rows[:, 0], np.arange(40))
    assert np.allclose(rows[:, 1], TIMES_S, atol=1e-6)
    assert np.abs(rows[:, 2:4]).max() <= 1
    assert set(rows[:, 4]) == {1.0}
    assert set(rows[:, 5]) <= {0.0, 1.0}
    assert SAMPLE_NOTICE not in (folder / "portrait.csv").read_text()  # the summary and the console have it
    facts = summary(folder)
    assert facts["notice"] == SAMPLE_NOTICE
    assert facts["frames"] == 40
    assert facts["detected_share"] == 1
    assert facts["valence"]["mean"] == pytest.approx(rows[:, 2].mean(), abs=2e-6)
    assert facts["arousal"]["sd"] == pytest.approx(rows[:, 3].std(), abs=2e-6)
    assert SAMPLE_NOTICE in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_only_what_is_asked_for_is_written(run: Run, portrait: Path, tmp_path: Path) -> None:
    assert run(portrait, "--format", "vtt,CSV", "--format", "vtt").exit_code == 0
    names = sorted(path.name for path in (tmp_path / "out/portrait").glob("[!.]*"))
    assert names == ["portrait.csv", "portrait.json", "portrait.vtt"]


def test_every_format_at_once(run: Run, portrait: Path, tmp_path: Path) -> None:
    result = run(portrait, "--format", "csv,parquet,json,vtt,eaf,png,abaw", "--html", "--overlay")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "out/portrait"
    assert {path.suffix[1:] for path in folder.glob("[!.]*")} == {*KNOWN_FORMATS}
    _, rows = table(folder)
    frames = summary(folder)["frames"]
    assert frames["valence"] == rows[:, 2].tolist()
    with (tmp_path / "out/submission.csv").open(newline="") as file:
        submitted = list(csv.DictReader(file))
    assert [row["image_location"] for row in submitted] == [f"portrait/{k + 1:05d}.jpg" for k in range(40)]
    assert [float(row["arousal"]) for row in submitted] == rows[:, 3].tolist()


@pytest.mark.parametrize(
    ("level", "said"), [("-q", []), ("", ["note: "]), ("-v", ["note: ", "static/test_resnet", "decode"])]
)
def test_how_much_is_said(level: str, said: list[str], run: Run, portrait: Path) -> None:
    result = run(portrait, "--format", "csv", *filter(None, [level]))
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1  # the result, whatever the level
    assert bool(result.stderr) is bool(said)
    assert all(words in result.stderr for words in said)


def test_pictures_carry_the_notice_and_a_system_of_another_corpus_has_none(
    run: Run, trained: Path, portrait: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(trained, elsewhere)
    params = (
        (trained / "params.yaml").read_text().replace("corpus: data/sample/corpus", "corpus: data/affwild2")
    )
    (elsewhere / "params.yaml").write_text(params)
    write_json(elsewhere / "models/fusion/provenance.json", {"corpus": "data/affwild2"})
    assert run(portrait).exit_code == 0
    folder, noticed = tmp_path / "out" / "portrait", tmp_path / "noticed"
    folder.rename(noticed)
    result = run(portrait, models=elsewhere / "models")
    assert result.exit_code == 0
    assert table(folder)[0][-1] == "arousal_high", "the notice is no column"
    assert summary(folder)["notice"] is None
    assert SAMPLE_NOTICE not in result.output
    assert (folder / "portrait.png").read_bytes() != (noticed / "portrait.png").read_bytes()
    assert not np.array_equal(first_picture(folder / "portrait.mp4"), first_picture(noticed / "portrait.mp4"))


def first_picture(film: Path) -> np.ndarray:
    """The first frame of a film."""
    with av.open(str(film)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


@pytest.mark.parametrize("where", ["provenance", "params"])
def test_either_sign_of_the_sample_corpus_brings_the_notice(
    where: str, run: Run, trained: Path, portrait: Path, tmp_path: Path
) -> None:
    root = tmp_path / "mixed"
    shutil.copytree(trained, root)
    if where == "params":
        write_json(root / "models/fusion/provenance.json", {"corpus": "data/affwild2"})
    else:
        text = (
            (root / "params.yaml").read_text().replace("corpus: data/sample/corpus", "corpus: data/affwild2")
        )
        (root / "params.yaml").write_text(text)
    result = run(portrait, "--no-overlay", models=root / "models")
    assert SAMPLE_NOTICE in result.stderr
    assert "now names" in result.stderr


def test_fusions_are_what_their_weights_and_trees_make_of_the_single_systems(
    run: Run, portrait: Path, tmp_path: Path
) -> None:
    traces = {}
    for system in (*SYSTEMS, *FUSIONS):
        assert run(portrait, "--system", system, "--format", "csv", "--force").exit_code == 0
        assert summary(tmp_path / "out/portrait")["system"] == system
        traces[system] = table(tmp_path / "out/portrait")[1][:, 2:4]
    assert not (tmp_path / "out/portrait/portrait.mp4").exists()
    pair, three = ("dynamic", "audio"), ("dynamic", "audio", "kelm")
    means = [traces[system].mean() for system in SYSTEMS]
    assert np.diff(sorted(means)).min() > 1e-5  # they are different systems
    expected = {
        "dwf_dynamic_audio": np.mean([traces[system] for system in pair], axis=0),
        "dwf_speaking_dynamic_audio": np.mean([traces[system] for system in pair], axis=0),
        "dwf_dynamic_audio_kelm": np.mean([traces[system] for system in three], axis=0),
        "rf_dynamic_audio_kelm": np.where(traces["dynamic"] <= 0, -0.5, 0.5),
        "rf_grouped_dynamic_audio_kelm": np.where(traces["dynamic"] <= 0, -0.5, 0.5),
        "dwf_width_dynamic_audio_kelm": np.mean([traces[system] for system in three], axis=0),
        "rf_width_dynamic_audio_kelm": np.where(traces["dynamic"] <= 0, -0.5, 0.5),
    }
    assert set(expected) == set(FUSIONS)
    for fusion, trace in expected.items():
        assert np.abs(traces[fusion] - trace).max() < 2e-6


def test_without_sound_nothing_is_speaking_and_audio_abstains(run: Run, tmp_path: Path) -> None:
    clip = record(tmp_path / "silent.mp4", sound=False)
    assert run(clip, "--no-overlay").exit_code == 0
    fused = table(tmp_path / "out/silent")[1]
    assert not fused[:, 5].any()
    assert run(clip, "--no-overlay", "--system", "dynamic", "--force").exit_code == 0
    assert np.array_equal(fused[:, 2:4], table(tmp_path / "out/silent")[1][:, 2:4])
    result = run(clip, "--system", "audio", "--force")
    assert result.exit_code == 1
    assert "no sound" in result.stderr
    assert summary(tmp_path / "out/silent")["system"] == "dynamic"  # the earlier result is still there


def test_times_are_the_stamps_of_a_variable_rate(run: Run, tmp_path: Path) -> None:
    times_s = np.cumsum(np.tile([0.02, 0.06, 0.04], 12)) - 0.02
    assert run(record(tmp_path / "vfr.mp4", times_s), "--no-overlay").exit_code == 0
    assert np.allclose(table(tmp_path / "out/vfr")[1][:, 1], times_s, atol=1e-6)
    assert summary(tmp_path / "out/vfr")["variable_rate"] is True


def test_one_frame_is_enough(run: Run, tmp_path: Path) -> None:
    assert run(record(tmp_path / "one.mp4", np.zeros(1))).exit_code == 0
    assert table(tmp_path / "out/one")[1].shape == (1, 10)  # with an interval


def test_the_same_video_gives_the_same_bytes(run: Run, portrait: Path, tmp_path: Path) -> None:
    def contents() -> list[bytes]:
        assert run(portrait, "--no-overlay", "--force").exit_code == 0
        return [path.read_bytes() for path in sorted((tmp_path / "out/portrait").iterdir())]

    assert contents() == contents()


def test_another_detector_brings_its_own_threshold_and_a_note(
    run: Run, portrait: Path, tmp_path: Path
) -> None:
    assert run(portrait, "--detector", "blazeface_full", "--no-overlay").exit_code == 0
    facts = summary(tmp_path / "out/portrait")
    assert facts["detector"] == "blazeface_full"
    assert any("blazeface_short" in note for note in facts["notes"])


def test_retinaface_with_the_weights_at_hand(
    run: Run, portrait: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALARO_WEIGHTS", str(shared / "weights"))
    result = run(portrait, "--detector", "retinaface", "--no-overlay")
    assert result.exit_code == 0, result.stderr
    assert summary(tmp_path / "out/portrait")["detected_share"] == 1


@pytest.mark.slow
def test_worker_processes_give_the_same_traces(run: Run, portrait: Path, tmp_path: Path) -> None:
    """But for the last digits: they hang on the number of threads, and workers share the cores."""
    clips = [shutil.copy(portrait, tmp_path / f"{name}.mp4") for name in "ab"]
    assert run(*clips, "--no-overlay").exit_code == 0
    files = [tmp_path / f"out/{name}/{name}.csv" for name in "ab"]
    serial = [file.read_bytes() for file in files]
    assert serial[0] == serial[1]
    alone = np.loadtxt(files[0], delimiter=",", skiprows=1, usecols=range(6))
    assert run(*clips, "--no-overlay", "--force", "--jobs", "2").exit_code == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    together = np.loadtxt(files[0], delimiter=",", skiprows=1, usecols=range(6))
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["blazeface_short", "retinaface"])
def test_real_recordings(
    detector: str, run: Run, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALARO_WEIGHTS", str(shared / "weights"))
    clips = sorted(p for p in (shared / "media" / "clips").rglob("*") if p.is_file())
    assert clips
    result = run(*clips, "--detector", detector)
    for clip in clips:
        folder = tmp_path / "out" / clip.stem
        if folder.is_dir():
            assert len(table(folder)[1]) == summary(folder)["frames"]
            assert len(list(folder.glob("[!.]*"))) == 4
        else:
            [line] = [line for line in result.stderr.splitlines() if str(clip) in line]
            assert "no face" in line
