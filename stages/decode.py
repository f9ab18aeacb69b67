"""Put every video on an exact time grid, and write the waveform from the first frame on.

    python -m stages.decode          (dvc repro decode)

Reads   the videos named in data/index/corpus.json
Writes  data/decode/<video>.h5     time_s (T,): k / fps_hz; frame (T,): the native frame nearest by the file's
                                   stamps; frame_time_s (T,) of the native frame shown; what it takes to read
                                   the pictures, see `media.pictures`; fps_hz, width, height, scale (decoded /
                                   native size), duration_s, has_audio.
                                   With keep_frames: jpeg, jpeg_offset (T + 1,): upright RGB frames, square
                                   pixels, SDR
        data/decode/<video>.flac   PCM 16 bit, stereo, audio_rate_hz; sample 0 is the first frame's time, the
                                   length is the video's; silence where there is no sound
Params  decode

Stages that need frames decode the video themselves, unless decode.keep_frames keeps them here. The stage that
decodes the pictures (faces, or this one) notes which are lost, and where their size changes.

Memory: a block of sound at a time; frames go to the disk one by one.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.arrays import Image
from stages.core.artefacts import Spool, write_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.notes import Note
from stages.core.params import DecodeParams, load_params
from stages.engine.advance import counted
from stages.engine.stage import Stage, main
from stages.engine.units import Unit

if TYPE_CHECKING:
    from stages.media.frames import GridDecoding


def decode_video(unit: Unit, settings: DecodeParams) -> list[Note]:
    """Put one video on the grid, its frames too where they are kept, and its sound into a FLAC file."""
    from stages.media.container import probe
    from stages.media.frames import decode_grid, fitted_size, nearest_frames
    from stages.media.limits import Limits
    from stages.media.oddities import oddities
    from stages.media.pictures import reading_arrays, reading_facts
    from stages.media.scan import Hearing
    from stages.media.sound import write_sound

    video = unit.reads["video"]
    limits = Limits(**settings.limits())
    facts = probe(video, limits=limits, hearing=Hearing(**settings.hearing()))
    grid = decode_grid(video, settings.fps_hz, facts=facts, max_side_px=settings.max_side_px, limits=limits)
    frame = nearest_frames(facts.time_s, grid.time_s)
    width, height = fitted_size(facts.width, facts.height, settings.max_side_px)
    with ExitStack() as spools:
        arrays: dict[str, Any] = {"time_s": grid.time_s, "frame": frame, "frame_time_s": facts.time_s[frame]}
        if settings.keep_frames:
            jpeg = spools.enter_context(Spool(unit.writes["frames"].parent))
            arrays |= _kept(grid, jpeg, settings.jpeg_quality)
        write_arrays(
            unit.writes["frames"],
            arrays | reading_arrays(facts),
            fps_hz=settings.fps_hz,
            width=width,
            height=height,
            scale=width / facts.width,
            duration_s=facts.duration_s,
            has_audio=facts.audio_index is not None,
            max_pixels=settings.max_pixels,
            video_bytes=video.stat().st_size,
            **reading_facts(facts),
        )
    heard = write_sound(unit.writes["sound"], video, settings.audio_rate_hz, facts, limits)
    odd = oddities(facts, grid if settings.keep_frames else None, heard, asked=settings.audio_track)
    return [unit.warn(video, problem, remedy) for problem, remedy in odd]


def _kept(grid: "GridDecoding", jpeg: Spool, quality: int) -> dict[str, Any]:
    """The frames as JPEGs, and the times of those that could be shown."""
    from stages.media.jpeg import spool_jpegs

    shown_s = np.full(len(grid), np.nan)

    def images() -> Iterator[Image]:
        for frame in counted(grid):
            shown_s[frame.k] = frame.frame_time_s
            yield frame.image

    offset = spool_jpegs(images(), jpeg.write, quality, partial(grid.limits.check_jpegs, grid.path))
    return {"jpeg": jpeg, "jpeg_offset": offset, "frame_time_s": shown_s}


def units(workspace: Workspace, corpus: Corpus) -> list[Unit]:
    """One unit per video."""
    return [
        Unit(
            video,
            {"video": Path(file)},
            {
                "frames": workspace.artefact("decode", video),
                "sound": workspace.artefact("decode", video, ".flac"),
            },
        )
        for video, file in sorted(corpus.videos.items())
    ]


def decode() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    strict = params.index.on_bad_input == "fail"
    with Stage("decode", workspace.folder("decode"), strict=strict) as stage:
        stage.run(decode_video, units(workspace, workspace.corpus()), params.decode, compute=params.compute)


if __name__ == "__main__":
    main("decode")
