"""The files of a small corpus, as a reader of Aff-Wild2 finds them."""

import hashlib
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.long


def times_s(film: Path) -> np.ndarray:
    with av.open(str(film)) as container:
        return np.array([frame.time for frame in container.decode(video=0)])


def rows(file: Path) -> np.ndarray:
    first, *rest = file.read_text().splitlines()
    assert first == "valence,arousal"
    return np.array([line.split(",") for line in rest], dtype=float)


def annotations(sample: Path, clip, role) -> np.ndarray:
    folder = {
        "train": "corpus/annotations/VA_Estimation_Challenge/Train_Set",
        "validation": "corpus/annotations/VA_Estimation_Challenge/Validation_Set",
        "test": "truth/annotations/Test_Set",
    }[clip.split]
    return rows(sample / folder / f"{role.subject}.txt")


@pytest.fixture(scope="module")
def clips(settings):
    from data.sample.cast import plan

    return plan(settings)


def test_films_and_annotations_are_all_there_and_nothing_else(sample, clips):
    films = {str(path.relative_to(sample / "corpus")) for path in sample.glob("corpus/videos/*/*")}
    assert films == {clip.file for clip in clips}
    labels = {path.stem for path in sample.glob("corpus/annotations/VA_Estimation_Challenge/*_Set/*.txt")}
    assert labels == {role.subject for clip in clips if clip.split != "test" for role in clip.roles}


def test_one_label_row_per_frame_but_for_the_odd_clips(sample, clips):
    for clip in clips:
        frames = len(times_s(sample / "corpus" / clip.file))
        for role in clip.roles:
            assert len(annotations(sample, clip, role)) == frames + clip.oddity.surplus_rows, role.subject
    assert {clip.oddity.surplus_rows for clip in clips} == {-4, 0, 3}


def test_time_stamps_follow_the_announced_rate(sample, clips):
    for clip in clips:
        steps = np.diff(times_s(sample / "corpus" / clip.file))
        if clip.rate_hz is None:
            assert sorted(set(np.round(steps * 30).astype(int))) == [1, 2]
        else:
            assert steps == pytest.approx(float(1 / clip.rate_hz), abs=1e-4)


def test_labels_are_the_truth_where_there_are_any(sample, clips):
    for clip in clips:
        for role in clip.roles:
            labels = annotations(sample, clip, role)
            truth = np.genfromtxt(
                sample / "truth" / "trajectories" / f"{role.subject}.csv", delimiter=",", names=True
            )
            known = labels[:, 0] != -5
            both = np.flatnonzero(known[: len(truth)])
            assert np.abs(labels[both, 0] - truth["valence"][both]).max() < 6e-4
            assert np.abs(labels[both, 1] - truth["arousal"][both]).max() < 6e-4
            assert np.array_equal(known, labels[:, 1] != -5)
            assert known.all() != clip.oddity.unlabelled


def test_the_form_for_the_test_split_has_a_row_per_frame_in_its_own_order(sample, clips):
    folder = sample / "corpus" / "annotations"
    names = (folder / "VA_test_set_release.txt").read_text().split()
    head, *form = (folder / "VA_test_set_sample.txt").read_text().splitlines()
    assert head == "image_location,valence,arousal"
    frames = {
        role.subject: len(times_s(sample / "corpus" / clip.file))
        for clip in clips
        for role in clip.roles
        if clip.split == "test"
    }
    assert set(names) == set(frames)
    order = list(dict.fromkeys(line.split("/")[0] for line in form))
    assert order != names
    assert form == [f"{name}/{i:05d}.jpg,-5,-5" for name in order for i in range(1, frames[name] + 1)]


def test_the_stems_add_up_to_the_sound_of_the_film(sample, clips):
    clip = next(clip for clip in clips if clip.oddity.sound)
    with av.open(str(sample / "corpus" / clip.file)) as container:
        stereo = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    parts = [soundfile.read(sample / "truth/stems" / clip.name / f"{n}.wav") for n in ("voice", "background")]
    assert {rate for _, rate in parts} == {16_000}
    together = sum(sound for sound, _ in parts)
    mono = stereo.mean(axis=0)
    at_16_khz = np.interp(np.arange(len(together)) / 16_000, np.arange(len(mono)) / 44_100, mono)
    assert np.corrcoef(at_16_khz, together)[0, 1] > 0.95  # AAC, and resampling without a filter


def test_the_same_seed_gives_the_same_bytes(sample, clips, tmp_path):
    from data.sample.shoot import shoot

    for clip in (clips[1], clips[2]):  # two people; variable rate
        shoot(clip, tmp_path)
    again = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert len(again) >= 9
    for path in again:
        assert path.read_bytes() == (sample / path.relative_to(tmp_path)).read_bytes(), path.name


def test_the_avi_has_the_same_bytes_twice_every_frame_and_its_sound_in_time(full_settings, tmp_path):
    from data.sample.cast import plan
    from data.sample.shoot import shoot

    clip = replace(next(clip for clip in plan(full_settings) if clip.oddity.avi), duration_s=2.0)
    digests = set()
    for run in ("once", "twice"):
        shoot(clip, tmp_path / run)
        digests.add(hashlib.sha256((tmp_path / run / "corpus" / clip.file).read_bytes()).hexdigest())
    assert len(digests) == 1
    film = tmp_path / "once" / "corpus" / clip.file
    np.testing.assert_allclose(np.diff(times_s(film)), 1 / 25, err_msg="no frame was left out")
    with av.open(str(film)) as container:
        stereo = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    sound = stereo.mean(axis=0)
    voice, rate = soundfile.read(tmp_path / "once" / "truth" / "stems" / clip.name / "voice.wav")
    heard = np.interp(np.arange(len(voice)) / rate, np.arange(len(sound)) / 44_100, sound)
    lags = np.arange(-200, 201)
    likeness = [np.dot(heard[400:-400], np.roll(voice, lag)[400:-400]) for lag in lags]
    assert abs(lags[int(np.argmax(likeness))]) <= 2  # samples at 16 kHz
