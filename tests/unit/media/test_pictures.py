"""Frames read from the video are those that decode would have kept, whatever the video."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artefacts import read_arrays, read_facts
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import BadInput, ValaroError
from stages.core.params import DecodeParams, load_params
from stages.decode import decode_video, units
from stages.engine.units import do_unit
from stages.media.container import PictureFacts, probe
from stages.media.frames import decode_grid
from stages.media.jpeg import encode_jpeg
from stages.media.pictures import FilmedPictures, frame_files, open_pictures, picture_facts

ODD = [
    "cases/anamorphic_sar.mp4",
    "cases/concat_two_takes.ts",
    "cases/hdr_pq.mov",
    "cases/size_changes.webm",
    "cases/webm_two_takes_jitter.webm",
    "media/clips/odd/corrupted_colourbars.mp4",
    "media/clips/odd/rotated90_3frames.mov",
    "media/clips/odd/vp9_no_duration.webm",
    "media/clips/01_grid_male_bbaf2n.mpg",
    "media/clips/12_videoretalking_vfr.mp4",
]
SCALED = ["cases/hdr_pq.mov", "cases/size_changes.webm", "media/clips/odd/rotated90_3frames.mov"]
KEPT = [*SCALED[1:], "cases/anamorphic_sar.mp4", "media/clips/odd/corrupted_colourbars.mp4"]
Decoded = Callable[..., Path]


@pytest.fixture
def settings(repository: Path) -> DecodeParams:
    return load_params(repository / "profiles" / "sample.yaml").decode


@pytest.fixture
def decoded(tmp_path: Path, settings: DecodeParams) -> Decoded:
    """What the stage decode writes of a video, with parameters of choice."""

    def decode(video: Path, name: str = "a", **changes: Any) -> Path:
        workspace = Workspace(tmp_path / name)
        corpus = Corpus([Subject("v", "v", None, "test")], {"v": str(video)})
        (unit,) = units(workspace, corpus)
        do_unit(decode_video, unit, settings.model_copy(update=changes))
        return workspace.artefact("decode", "v")

    return decode


def same(_: int, image: np.ndarray | None) -> np.ndarray | None:
    return image


def read(pictures: Any, wanted: np.ndarray, size: int = 3) -> list[Any]:
    return [image for batch in pictures.batches(wanted, same, size) for image in batch]


@pytest.mark.parametrize(
    ("clip", "side"), [*((clip, None) for clip in ODD), *((clip, 100) for clip in SCALED)]
)
def test_they_are_bit_for_bit_what_a_decode_gives(
    shared: Path, decoded: Decoded, clip: str, side: int | None
) -> None:
    video = shared / clip
    file = decoded(video, max_side_px=side)
    kept = read_arrays(file)
    expected = list(decode_grid(video, 5, max_side_px=side))
    np.testing.assert_array_equal(kept["time_s"], [frame.time_s for frame in expected])
    pictures = FilmedPictures(file, video)
    found = read(pictures, np.arange(len(expected)))
    assert len(found) == len(expected)
    assert all(np.array_equal(one, frame.image) for one, frame in zip(found, expected, strict=True))
    np.testing.assert_array_equal(pictures.shown_s, [frame.frame_time_s for frame in expected])
    assert {(facts["height"], facts["width"]) for facts in [read_facts(file)]} == {
        frame.image.shape[:2] for frame in expected
    }
    assert "jpeg" not in kept


@pytest.mark.parametrize("clip", KEPT)
def test_those_that_are_kept_are_jpegs_of_the_same(shared: Path, decoded: Decoded, clip: str) -> None:
    video = shared / clip
    kept = read_arrays(decoded(video, keep_frames=True))
    data = [encode_jpeg(frame.image, 95) for frame in decode_grid(video, 5)]
    assert kept["jpeg"].tobytes() == b"".join(data)
    assert kept["jpeg_offset"].tolist() == np.cumsum([0, *map(len, data)]).tolist()


@pytest.mark.parametrize("clip", ["cases/concat_two_takes.ts", "cases/anamorphic_sar.mp4"])
def test_the_file_tells_all_that_reading_needs(shared: Path, decoded: Decoded, clip: str) -> None:
    facts = probe(shared / clip)
    file = decoded(shared / clip)
    again = picture_facts(read_arrays(file), read_facts(file))
    for name in PictureFacts.__dataclass_fields__:
        if name == "clock":
            assert again.clock.shifts == facts.clock.shifts
        else:
            assert np.array_equal(getattr(again, name), getattr(facts, name)), name


def test_some_of_them_and_none(decoded: Decoded, make_clip: Any, read_clock: Any) -> None:
    video = make_clip(times_s=np.arange(100) / 25)
    pictures = FilmedPictures(decoded(video), video)
    black, *found = read(pictures, np.array([-1, 0, 3, 4, 11]), size=2)
    assert black is None
    assert [read_clock(image) for image in found] == pytest.approx([0, 0.6, 0.8, 2.2], abs=1e-3)
    assert pictures.grid is not None
    assert pictures.grid.decoded < 60, "it ends with the last one wanted"
    assert read(FilmedPictures(decoded(video), video), np.empty(0, np.int64)) == []


def test_the_nearest_native_frame_is_written(decoded: Decoded, make_clip: Any) -> None:
    native_s = np.cumsum([0, *np.random.default_rng(1).integers(20, 300, 40)]) / 1000
    video = make_clip("a.mkv", native_s)
    kept, film = read_arrays(decoded(video)), FilmedPictures(decoded(video), video)
    read(film, np.arange(len(kept["time_s"])))
    np.testing.assert_allclose(kept["native_time_s"], native_s, atol=1e-6)
    np.testing.assert_allclose(native_s[kept["frame"]], film.shown_s, atol=1e-6)
    np.testing.assert_allclose(kept["frame_time_s"], film.shown_s, atol=1e-6)


def test_a_video_that_changed_is_refused(decoded: Decoded, make_clip: Any) -> None:
    video = make_clip()
    file = decoded(video)
    with video.open("ab") as more:
        more.write(b"more")
    with pytest.raises(BadInput, match=r"not the file that decode read.*dvc repro"):
        FilmedPictures(file, video)


def test_a_video_that_is_gone_is_named_with_the_remedy(decoded: Decoded, make_clip: Any) -> None:
    video = make_clip()
    corpus = Corpus([Subject("v", "v", None, "test")], {"v": str(video)})
    workspace = Workspace(decoded(video).parents[2])
    assert frame_files(workspace, corpus, "v").keys() == {"video", "frames"}
    video.rename(video.with_name("moved.mp4"))
    with pytest.raises(ValaroError, match=r"clip\.mp4 is missing.*keep_frames.*dvc repro"):
        frame_files(workspace, corpus, "v")
    decoded_too = Workspace(decoded(video.with_name("moved.mp4"), "b", keep_frames=True).parents[2])
    assert frame_files(decoded_too, corpus, "v").keys() == {"frames"}, "nobody needs it"


def test_kept_and_filmed_pictures_differ_by_their_jpeg(decoded: Decoded, shared: Path) -> None:
    video = shared / "media/clips/12_videoretalking_vfr.mp4"
    steps = np.arange(0, 20, 4)
    with (
        open_pictures(decoded(video), video) as film,
        open_pictures(decoded(video, "b", keep_frames=True)) as kept,
    ):
        pairs = list(zip(read(film, steps), read(kept, steps), strict=True))
    off = np.array([np.abs(one.astype(int) - other).mean() for one, other in pairs])
    assert (off < 2.5).all(), "of 255 levels, by a JPEG of quality 95"
    assert (off > 0).all()
