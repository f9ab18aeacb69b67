import os
from pathlib import Path

import av
import numpy as np
import pytest

from stages.core.errors import BadInput
from stages.media.source import FORMATS, Decoder, choose_audio, choose_video, open_media, packets

MP4_HEAD = b"\0\0\0\x18ftypisom" + bytes(2000)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"dear diary\n" * 200, "not a video"),
        ("noise.mp4", np.random.default_rng(0).bytes(50_000), "not a video"),
        ("cut.mp4", MP4_HEAD, "moov"),
        ("list.mp4", b"ffconcat version 1.0\nfile clip.mp4\n", "playlist"),
        (
            "stream.m3u8",
            b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nclip.mp4\n#EXT-X-ENDLIST\n",
            "playlist",
        ),
        ("photo.heic", b"\0\0\0\x1cftypheic" + bytes(2000), "HEIC"),
        ("picture.mp4", b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(500), "a picture under another name"),
        ("picture", b"\x89PNG\r\n\x1a\n" + bytes(500), "a picture under another name"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_what_is_no_video_is_refused_with_its_reason(
    tmp_path: Path, make_clip, name: str, content: bytes, problem: str
) -> None:
    make_clip("clip.mp4", times_s=[0.0])  # what the lists point at exists: only the refusal stops them
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadInput) as refused, open_media(path):
        pass
    assert problem in refused.value.problem
    assert refused.value.file == str(path)
    assert refused.value.remedy


def test_missing_file_folder_pipe_and_unreadable_file_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    for path, problem in [(tmp_path / "none.mp4", "no such"), (tmp_path, "folder"), (pipe, "pipe")]:
        with pytest.raises(BadInput, match=problem), open_media(path):
            pass


def test_no_format_that_follows_other_files_is_allowed() -> None:
    allowed = set(FORMATS.split(","))
    assert not allowed & {
        "hls",
        "applehttp",
        "concat",
        "concatf",
        "dash",
        "image2",
        "image2pipe",
        "sdp",
        "rtsp",
        "imf",
    }


@pytest.mark.parametrize(
    "name", ["späť 日本 🎬.mp4", "100 %03d.mp4", "concat:a|b.mp4", "-y.mp4", "a:b?c#d.mp4", "no_ending"]
)
def test_odd_names_are_just_names(make_clip, tmp_path: Path, name: str) -> None:
    path = make_clip("clip.mp4").rename(tmp_path / name)
    with open_media(path) as container:
        assert len(list(packets(container, choose_video(path, container)))) == 50


def test_tags_that_are_no_utf8_do_not_matter(make_clip, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "t.mkv"), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        out.metadata["title"] = "name_here"
        out.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        out.mux(stream.encode(None))
    path = tmp_path / "t.mkv"
    path.write_bytes(path.read_bytes().replace(b"name_here", b"\xff\xfe\xe9\xe8name_"[:9]))
    with open_media(path) as container:
        assert choose_video(path, container).type == "video"


def test_the_largest_video_and_the_richest_sound_are_chosen(tmp_path: Path) -> None:
    path = tmp_path / "many.mkv"
    with av.open(str(path), "w") as out:
        tracks = []
        for side in (64, 128, 96):
            stream = out.add_stream("mpeg4", rate=25)
            stream.width = stream.height = side
            tracks.append((stream, av.VideoFrame(side, side, "yuv420p")))
        for rate_hz in (8000, 16000):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), format="s16", layout="stereo")
            sound.sample_rate = rate_hz
            tracks.append((out.add_stream("pcm_s16le", rate=rate_hz, layout="stereo"), sound))
        for stream, frame in tracks:
            frame.pts = 0
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    with open_media(path) as container:
        assert choose_video(path, container).index == 1
        assert choose_audio(container).rate == 16000


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as out:
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        track = out.add_stream("aac", rate=44_100, layout="stereo")
        out.mux(cover.encode(av.VideoFrame(64, 64, "yuvj420p")))
        sound = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        sound.sample_rate, sound.pts = 44_100, 0
        out.mux(track.encode(sound))
        out.mux(track.encode(None))
    with open_media(path) as container:
        assert len(container.streams.video) == 1
        with pytest.raises(BadInput, match="no video stream"):
            choose_video(path, container)


def test_sound_alone_has_no_video_stream(shared: Path) -> None:
    path = shared / "media/audio/silence2sec.wav"
    with (
        open_media(path) as container,
        pytest.raises(BadInput, match=r"no video stream .*\(streams: audio\)"),
    ):
        choose_video(path, container)


def test_a_decoder_counts_what_it_cannot_decode(make_clip, damage) -> None:
    path = make_clip("clip.mp4", options={"g": "1"})
    bad = damage(path, "video", [3, 4, 20])
    with open_media(path) as container:
        decoder = Decoder(container, choose_video(path, container))
        assert len(list(decoder)) == 50 - bad
        assert decoder.undecodable == bad
