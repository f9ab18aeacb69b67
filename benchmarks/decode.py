"""Decoding: 5 frames a second out of a video, against what FFmpeg, OpenCV and PyAV need to decode it at all.

    python benchmarks/decode.py [--video FILE] [--ffmpeg PATH] [--seconds 30] [--rounds 3]

One decoder thread each, as the stage uses one per video. FFmpeg decodes every frame and throws it away
(`-f null`): the limit. `ours` also picks the frame nearest to each grid time, turns those into RGB, and (last
row) makes JPEGs of them. FFmpeg is the one named, else that of imageio-ffmpeg, else the one on the PATH;
where there is none the row is missing and the ratio is against PyAV's bare decoding.
"""

import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
from measure import arguments, machine, save, table, take_turns

from stages.media.frames import decode_grid
from stages.media.jpeg import pack_jpegs

FPS_HZ = 5


def write_film(path: Path, seconds: int) -> None:
    """640 x 480 at 30 Hz, H.264: a textured picture that moves, with the noise of a camera."""
    rng = np.random.default_rng(3)
    texture = cv2.resize(
        rng.integers(0, 255, (60, 100, 3), np.uint8), (1000, 600), interpolation=cv2.INTER_CUBIC
    )
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"preset": "medium", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for k in range(30 * seconds):
            x, y = round(150 + 120 * np.sin(k / 40)), round(50 + 40 * np.cos(k / 25))
            noise = rng.integers(-6, 7, (480, 640, 3), np.int16)
            image = np.clip(texture[y : y + 480, x : x + 640] + noise, 0, 255).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))


def find_ffmpeg(named: str | None) -> str | None:
    """An FFmpeg to compare with."""
    if named is None and importlib.util.find_spec("imageio_ffmpeg"):
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    return named or shutil.which("ffmpeg")


def with_ffmpeg(ffmpeg: str, video: Path) -> None:
    """Decode all frames, keep none."""
    command = [ffmpeg, "-v", "error", "-threads", "1", "-i", str(video), "-map", "0:v:0", "-f", "null", "-"]
    subprocess.run(command, check=True)


def with_opencv(video: Path) -> int:
    """Decode all frames; grab() converts none."""
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    count = 0
    while capture.grab():
        count += 1
    return count


def with_pyav(video: Path) -> int:
    """Decode all frames, keep none."""
    with av.open(str(video)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return sum(1 for _ in container.decode(video=0))


def main() -> None:
    """Compare, print, and keep."""
    chosen = arguments(__doc__, seconds=30, rounds=3, video=None, ffmpeg=None)
    video = Path(chosen.video or Path(tempfile.mkdtemp()) / "film.mp4")
    if not chosen.video:
        write_film(video, chosen.seconds)
    frames, ffmpeg = with_pyav(video), find_ffmpeg(chosen.ffmpeg)
    ways = {
        "PyAV, bare": lambda: with_pyav(video),
        "OpenCV grab": lambda: with_opencv(video),
        f"ours, {FPS_HZ} RGB frames a second": lambda: sum(1 for _ in decode_grid(video, FPS_HZ)),
        "ours, and JPEGs of them": lambda: pack_jpegs(frame.image for frame in decode_grid(video, FPS_HZ)),
    }
    if ffmpeg:
        ways = {"FFmpeg, -f null": lambda: with_ffmpeg(ffmpeg, video)} | ways
    timings = take_turns(ways, chosen.rounds)
    peer = next(iter(timings))
    ours = [timings[name] for name in ways if name.startswith("ours")]
    shares = [timings[peer].fastest_s / way.fastest_s for way in ours]
    effort = min(timings[peer].cores_s) / min(ours[0].cores_s)
    save(
        chosen,
        "decode",
        "Decoding",
        [
            f"{video.name}: {frames} native frames, H.264 unless named otherwise. {machine()}",
            "",
            *table(timings, frames, "native frames"),
            "",
            f"- against {peer}: ours reaches **{shares[0]:.0%}** of its rate, by processor time "
            f"**{effort:.0%}**; {shares[1]:.0%} with the JPEGs",
        ],
    )


if __name__ == "__main__":
    main()
