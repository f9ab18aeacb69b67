"""Ratings along a video, portions of samples, and a split in which nobody is on both sides."""

from pathlib import Path

import numpy as np
import pytest

from stages.corpora.emotion_scores import emotion_scores
from stages.corpora.labelled_faces import emotion_counts, gathered, write_shard
from stages.corpora.sewa import CHALLENGE
from stages.corpora.shards import PICTURES_PER_SHARD, shards
from stages.corpora.split import in_validation, validation_speakers
from stages.corpora.table import Part, Problems, Sample
from stages.corpora.traces import Trace, rated_samples, read_trace
from stages.media.jpeg import pack_jpegs

PEOPLE = [f"speaker {k}" for k in range(40)]


@pytest.fixture
def problems(tmp_path: Path) -> Problems:
    return Problems("corpus", tmp_path)


@pytest.mark.parametrize("separator", [";", ",", " ", "\t", " ; "])
def test_tables_of_ratings_in_any_separator(tmp_path: Path, problems: Problems, separator: str) -> None:
    rows = [["time", "one", "two"], ["0.0", "0.1", "0.3"], ["0.04", "-1", "0.5"], ["0.08", "0.2", ""]]
    (tmp_path / "t.csv").write_text(
        "\ufeff" + "\r\n".join(separator.join(row).strip() for row in rows) + "\r\n\r\n"
    )
    trace = read_trace(tmp_path / "t.csv", problems)
    assert trace is not None
    assert trace.time_s.tolist() == [0, 0.04, 0.08]
    assert trace.value == pytest.approx([0.2, -0.25, 0.2])
    assert problems.count == 0


def test_times_that_go_back_and_words_are_noted(tmp_path: Path, problems: Problems) -> None:
    (tmp_path / "t.csv").write_text("0.0;0.1\n0.2;0.2\n0.1;0.9\n0.4;nan\n0.6;0.4\n")
    trace = read_trace(tmp_path / "t.csv", problems)
    assert trace is not None
    assert trace.value.tolist() == [0.1, 0.2, 0.4]
    assert [note.file.rpartition(":")[2] for note in problems.notes] == ["3", "4"]
    (tmp_path / "empty.csv").write_text("time;value\n")
    assert read_trace(tmp_path / "empty.csv", problems) is None


def test_ratings_are_taken_at_the_grid_where_all_raters_are_there(problems: Problems) -> None:
    early = Trace(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    late = Trace(np.array([0.3, 2.0]), np.array([0.5, 0.5]))
    rows = list(rated_samples("v.avi", "who", [early], [late], 5.0, problems))
    assert [row.time_s for row in rows] == pytest.approx([0.4, 0.6, 0.8, 1.0])
    assert [row.valence for row in rows] == pytest.approx([0.4, 0.6, 0.8, 1.0])
    assert {row.arousal for row in rows} == {0.5}


def test_ratings_that_share_no_time_are_noted(problems: Problems) -> None:
    early = Trace(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    late = Trace(np.array([3.0, 4.0]), np.array([0.5, 0.5]))
    assert not list(rated_samples("v.avi", "who", [early], [late], 5.0, problems))
    assert (
        "share no time step: the latest begins at 3 s, the earliest ends at 1 s" in problems.notes[0].problem
    )


def test_a_rating_outside_its_scale_leaves_the_video_out(problems: Problems) -> None:
    loud = Trace(np.array([0.0, 1.0]), np.array([0.0, 7.0]))
    calm = Trace(np.array([0.0, 1.0]), np.array([0.0, 0.0]))
    assert [row.valence for row in rated_samples("v.avi", "who", [loud], [calm], 5.0, problems)] == [0.0]
    assert "outside -1 to 1" in problems.notes[0].problem


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Train_DE_01", "Train"),
        ("Devel_HU_12", "Devel"),
        ("Train_07", "Train"),
        ("Test_DE_01", None),
        ("SEW1", None),
    ],
)
def test_recordings_of_the_challenges_on_sewa(name: str, part: str | None) -> None:
    match = CHALLENGE.fullmatch(name)
    assert (match and match[1]) == part


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_the_share_of_speakers_is_kept_and_the_draw_follows_the_seed(share: float) -> None:
    drawn = validation_speakers(PEOPLE * 3, share, seed=0)
    assert len(drawn) == round(share * len(PEOPLE))
    assert drawn == validation_speakers(reversed(PEOPLE), share, seed=0)
    assert drawn != validation_speakers(PEOPLE, share, seed=1)


def test_a_further_speaker_moves_few_others() -> None:
    before, after = (validation_speakers(people, 0.2, 0) for people in (PEOPLE, [*PEOPLE, "somebody new"]))
    assert len(before ^ after) <= 2


@pytest.mark.parametrize(("people", "drawn"), [([], 0), (["only one"], 0), (["one", "two"], 1)])
def test_few_speakers(people: list[str], drawn: int) -> None:
    assert len(validation_speakers(people, 0.2, 0)) == drawn


@pytest.mark.parametrize(
    ("parts", "official"),
    [
        (["train", "train", "validation", "validation"], True),
        (["train", "validation", "validation", "validation"], False),
        (["", "train", "validation", "validation"], False),
        (["train", "train", "train", "train"], False),
    ],
    ids=["kept", "a speaker on both sides", "incomplete", "one part only"],
)
def test_an_official_division_is_kept_unless_it_mixes_speakers(parts: list[Part], official: bool) -> None:
    speakers = ["a", "a", "b", "c"]
    found = in_validation(speakers, parts, 0.3, 0)
    expected = [part == "validation" for part in parts]
    drawn = [speaker in validation_speakers(speakers, 0.3, 0) for speaker in speakers]
    assert found == (expected if official else drawn)
    assert found[0] == found[1], "one speaker, one side"


def pictures(count: int) -> list[Sample]:
    return [Sample(f"{k}.jpg", str(k), "whole", emotion=1) for k in range(count)]


def test_a_video_is_a_shard_and_pictures_come_in_even_portions() -> None:
    video = [Sample("a b/ü.avi", "x", "any", time_s=k / 5, emotion=1) for k in (2, 0, 1)]
    twin = [Sample("c/ü.avi", "x", "any", time_s=0.0, emotion=1)]
    found = shards([*pictures(2500), *video, *twin])
    videos = sorted(name for name in found if name.startswith("video-"))
    assert len(videos) == 2, "videos of the same name in two folders"
    assert all(name.isascii() for name in found)
    assert sorted(len(found[name]) for name in videos) == [1, 3]
    sizes = [len(rows) for name, rows in found.items() if name not in videos]
    assert sum(sizes) == 2500
    assert len(sizes) == 4
    assert max(sizes) < 1.2 * PICTURES_PER_SHARD


def test_a_further_picture_changes_one_portion() -> None:
    before, after = shards(pictures(2500)), shards([*pictures(2500), Sample("new.jpg", "n", "whole")])
    assert len([name for name in after if after[name] != before.get(name)]) == 1


def test_shards_come_back_split_by_speakers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rated_jpeg, named_jpeg = (pack_jpegs(rng.integers(0, 255, (4, 8, 8, 3), np.uint8)) for _ in range(2))
    rated = [Sample(f"{k}.jpg", f"ü{k % 2}", "whole", valence=0.1 * k, arousal=-0.5) for k in range(4)]
    named = [
        Sample(f"{k}.jpg", str(k), "whole", emotion=k, part="train" if k else "validation") for k in range(4)
    ]
    write_shard(tmp_path / "rated.h5", rated, *rated_jpeg)
    write_shard(tmp_path / "named.h5", named, *named_jpeg)
    faces = gathered({"sewa": [tmp_path / "rated.h5"], "rafdb": [tmp_path / "named.h5"]}, 0.5, 0)
    assert faces.corpus.tolist() == ["rafdb"] * 4 + ["sewa"] * 4
    assert [faces.files[k].stem for k in faces.file_index] == ["named"] * 4 + ["rated"] * 4
    assert faces.crop_index.tolist() == [0, 1, 2, 3] * 2
    assert faces.target[:4, 2].tolist() == [0, 1, 2, 3]
    assert np.isnan(faces.target[:4, :2]).all()
    assert faces.target[4:, 0] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert (faces.target[4:, 2] == -1).all()
    validation = faces.of("validation")
    assert validation[:4].tolist() == [True, False, False, False], "their own division"
    assert validation[4:6].tolist() == validation[6:].tolist()
    assert validation[4:].sum() == 2, "one of two speakers"
    assert (faces.of("train") == ~validation).all()
    assert np.isnan(faces.shares).all(), "nobody voted"
    assert faces.counts()["rafdb"] == {"speakers": 4, "train_images": 3, "validation_images": 1}
    assert emotion_counts(faces.target, 5).tolist() == [1, 1, 1, 1, 0]


def test_a_picture_in_two_parts_is_left_out_of_the_earlier_one(tmp_path: Path) -> None:
    """Eight pictures, two of them twice: one in training and test, one in training and validation."""
    rng = np.random.default_rng(0)
    one, two, *others = rng.integers(0, 255, (8, 8, 8, 3), np.uint8)
    shown = [one, two, *others[:3], two, others[3], one, *others[4:]]
    parts: list[Part] = ["train"] * 5 + ["validation"] * 2 + ["test"] * 3
    samples = [Sample(f"{k}", f"{k}", "whole", emotion=1, part=part) for k, part in enumerate(parts)]
    write_shard(tmp_path / "shard.h5", samples, *pack_jpegs(shown))
    faces = gathered({"ferplus": [tmp_path / "shard.h5"]}, 0.5, 0)
    chosen = [np.flatnonzero(faces.of(part)).tolist() for part in ("train", "validation", "test")]
    assert chosen == [[2, 3, 4], [5, 6], [7, 8, 9]]
    assert np.flatnonzero(faces.repeated).tolist() == [0, 1, 5, 7]
    assert faces.counts()["ferplus"] == {
        "speakers": 10, "train_images": 3, "validation_images": 2, "test_images": 3, "copies_left_out": 2
    }  # fmt: skip


def test_votes_give_shares_and_where_asked_valence_and_arousal(tmp_path: Path) -> None:
    """Happiness lies at .81, .51, sadness at -.63, -.27; contempt ("other") lies nowhere."""
    votes = [(0, 0, 0, 0, 3, 2, 0, 5), (0, 0, 0, 0, 4, 0, 0, 6), None]
    samples = [Sample(f"{k}", f"{k}", "whole", emotion=4, votes=given) for k, given in enumerate(votes)]
    jpeg = pack_jpegs(np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3), np.uint8))
    write_shard(tmp_path / "shard.h5", samples, *jpeg)
    shards = {"ferplus": [tmp_path / "shard.h5"]}
    assert np.isnan(gathered(shards, 0.5, 0).target[:, :2]).all(), "nobody rated them"
    faces = gathered(shards, 0.5, 0, derive_valence_arousal=True)
    assert faces.target[0, :2] == pytest.approx([(3 * 0.81 - 2 * 0.63) / 5, (3 * 0.51 - 2 * 0.27) / 5])
    assert np.isnan(faces.target[1:, :2]).all(), "fewer than five votes that lie anywhere"
    assert faces.shares[0] == pytest.approx([0, 0, 0, 0, 0.3, 0.2, 0, 0.5])
    assert np.isnan(faces.shares[2]).all()


def test_ratings_stand_above_votes(tmp_path: Path) -> None:
    rated = Sample("a", "a", "whole", valence=0.1, arousal=0.2, votes=(9, 0, 0, 0, 0, 0, 0, 0))
    write_shard(tmp_path / "shard.h5", [rated], *pack_jpegs([np.zeros((8, 8, 3), np.uint8)]))
    faces = gathered({"x": [tmp_path / "shard.h5"]}, 0.5, 0, derive_valence_arousal=True)
    assert faces.target[0, :2] == pytest.approx([0.1, 0.2])


def test_nothing_gathered_is_an_empty_table() -> None:
    faces = gathered({}, 0.2, 0)
    assert len(faces.target) == 0
    assert faces.counts() == {}


def test_emotion_scores_by_hand() -> None:
    """Recall 1/2 of class 0, 1 of class 2; F1 of 0, 1, 2: 2/3, 0, 2/3."""
    scores = emotion_scores(np.array([0, 0, 2]), np.array([0, 2, 2]))
    assert scores == pytest.approx(
        {"accuracy": 2 / 3, "balanced_accuracy": 0.75, "informedness": 0.5, "macro_f1": 2 / 3}
    )
    always = emotion_scores(np.array([0] * 99 + [1]), np.zeros(100, int))
    assert always["informedness"] == pytest.approx(0), "the frequent class alone is worth nothing"
    with pytest.raises(ValueError, match="at least two are needed"):
        emotion_scores(np.zeros(3, int), np.zeros(3, int))
