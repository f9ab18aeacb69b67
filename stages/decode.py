"""Decode every video once: upright frames on an exact time grid, and the waveform from the first frame on.

    python -m stages.decode          (dvc repro decode)

Reads   the videos named in data/index/corpus.json
Writes  data/decode/<video>.h5     jpeg, jpeg_offset (T + 1,): upright RGB frames, square pixels, SDR;
                                   time_s (T,): k / fps_hz;
                                   frame_time_s (T,) of the native frame shown; fps_hz, width, height,
                                   scale (decoded / native size), duration_s, has_audio
        data/decode/<video>.wav    PCM 16 bit, stereo, audio_rate_hz; sample 0 is the first frame's time, the
                                   length is the video's; silence where there is no sound
Params  decode

Memory: the waveform of one video per worker, which is limited; frames go to the disk one by one.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from stages.core.arrays import Image
from stages.core.artefacts import Spool, write_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.notes import Note
from stages.core.params import DecodeParams, load_params
from stages.engine.advance import counted
from stages.engine.stage import Stage, Unit, main


def decode_video(unit: Unit, settings: DecodeParams) -> list[Note]:
    """Decode one video to JPEG frames on the grid and to a WAV file."""
    from stages.media.container import Limits, probe
    from stages.media.frames import decode_grid
    from stages.media.jpeg import spool_jpegs
    from stages.media.oddities import oddities
    from stages.media.scan import Hearing
    from stages.media.sound import decode_sound, write_wav

    video = unit.reads["video"]
    limits = Limits(**settings.limits())
    facts = probe(video, limits=limits, hearing=Hearing(**settings.hearing()))
    grid = decode_grid(video, settings.fps_hz, facts=facts, max_side_px=settings.max_side_px, limits=limits)
    shown_s = np.full(len(grid), np.nan)
    size = np.zeros(2, int)

    def images() -> Iterator[Image]:
        for frame in counted(grid):
            shown_s[frame.k] = frame.frame_time_s
            size[:] = frame.image.shape[:2]
            yield frame.image

    with Spool(unit.writes["frames"].parent) as jpeg:
        offset = spool_jpegs(images(), jpeg.write, settings.jpeg_quality, partial(limits.check_jpegs, video))
        sound = decode_sound(video, settings.audio_rate_hz, facts, limits)
        write_arrays(
            unit.writes["frames"],
            {"jpeg": jpeg, "jpeg_offset": offset, "time_s": grid.time_s, "frame_time_s": shown_s},
            fps_hz=settings.fps_hz,
            height=int(size[0]),
            width=int(size[1]),
            scale=float(size[1] / facts.width),
            duration_s=facts.duration_s,
            has_audio=sound is not None,
        )
    silence = np.zeros((round(facts.duration_s * settings.audio_rate_hz), 2), np.float32)
    write_wav(unit.writes["sound"], sound.samples if sound else silence, settings.audio_rate_hz)
    odd = oddities(facts, grid, sound, asked=settings.audio_track)
    return [unit.warn(video, problem, remedy) for problem, remedy in odd]


def units(workspace: Workspace, corpus: Corpus) -> list[Unit]:
    """One unit per video."""
    return [
        Unit(
            video,
            {"video": Path(file)},
            {
                "frames": workspace.artefact("decode", video),
                "sound": workspace.artefact("decode", video, ".wav"),
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
