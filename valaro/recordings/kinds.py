"""Videos, pictures and sound files: what a recording is, and how each becomes a subject of the chain."""

from pathlib import Path

import numpy as np

from stages.core.artefacts import Arrays, write_arrays
from stages.core.corpus import Workspace
from stages.core.errors import BadInput
from stages.core.params import DecodeParams
from valaro.sources import PICTURES, Kind

SOUND_ROWS_HZ = 25.0
"""Times a second that a sound file's trace has: a usual rate of video, so that smoothing acts as there."""
ONE_FRAME = "picture.mov"
"""Of a workspace: the video that stands for a picture."""


def kind_of(recording: Path) -> Kind:
    """What a file is: a picture by its ending; a sound file if it has sound and no pictures.

    Raises:
        BadInput: it can't be opened.
    """
    from stages.media.source import choose_audio, choose_video, open_media

    if recording.suffix.lower() in PICTURES and recording.exists():
        return "picture"
    with open_media(recording) as container:
        try:
            choose_video(recording, container)
        except BadInput:
            return "video" if choose_audio(container) is None else "sound"
    return "video"


def stand_in_for_picture(picture: Path, workspace: Workspace, decode: DecodeParams) -> Path:
    """The video of one frame that stands for a picture.

    Raises:
        BadInput: the picture can't be read, or has more pixels than the parameters allow.
    """
    from stages.media.limits import Limits
    from stages.media.still import write_as_video

    video = workspace.root / ONE_FRAME
    write_as_video(picture, video, Limits(**decode.limits()))
    return video


def lay_out_sound(sound: Path, workspace: Workspace, decode: DecodeParams, subject: str) -> None:
    """Write what the stages up to `mouth` would leave of a recording that shows nobody.

    Args:
        sound: the file.
        workspace: gets index, decode, faces and mouth of the subject.
        decode: limits, rates.
        subject: its name in the workspace.

    Raises:
        BadInput: it has no sound that can be decoded, or more than the parameters allow.
    """
    from stages.index import CONTAINER_FACTS
    from stages.media.audio_only import probe_sound
    from stages.media.frames import grid_length
    from stages.media.limits import Limits
    from stages.media.scan import Hearing
    from stages.media.sound import decode_sound, write_flac

    limits = Limits(**decode.limits())
    facts = probe_sound(sound, SOUND_ROWS_HZ, limits, Hearing(**decode.hearing()))
    heard = decode_sound(sound, decode.audio_rate_hz, facts, limits)
    if heard is None:
        raise BadInput(sound, "no sound that can be decoded", "Copy it again from its source")
    native = {"time_s": facts.time_s, "labelled": np.zeros(facts.frame_count, bool)}
    write_arrays(
        workspace.artefact("index", subject),
        native | {"valence_arousal": np.full((facts.frame_count, 2), np.nan, np.float32)},
        frames=facts.frame_count,
        labelled_frames=0,
        **{name: getattr(facts, name) for name in CONTAINER_FACTS},
    )
    n = grid_length(facts.time_s, decode.fps_hz)
    time_s, nobody = np.arange(n) / decode.fps_hz, np.zeros(n, bool)
    nowhere = np.full((n, 4), np.nan, np.float32)
    no_pictures: Arrays = {"jpeg": np.zeros(0, np.uint8), "jpeg_offset": np.zeros(1, np.int64)}
    write_arrays(
        workspace.artefact("decode", subject),
        {"time_s": time_s, "frame_time_s": time_s},
        fps_hz=decode.fps_hz,
        height=0,
        width=0,
        scale=1.0,
        duration_s=facts.duration_s,
        has_audio=True,
    )
    write_flac(workspace.artefact("decode", subject, ".flac"), heard.samples, decode.audio_rate_hz)
    seen: Arrays = {"box_xyxy": nowhere, "score": nowhere[:, 0], "faces_in_frame": np.zeros(n, np.int32)}
    crops: Arrays = {"crop_index": np.full(n, -1), **no_pictures}
    write_arrays(
        workspace.artefact("faces", subject),
        {"time_s": time_s, "detected": nobody, **seen, **crops},
        fps_hz=decode.fps_hz,
    )
    write_arrays(
        workspace.artefact("mouth", subject),
        {"time_s": time_s, "detected": nobody, "area": nowhere[:, 0], "opening": nowhere[:, 0]},
        fps_hz=decode.fps_hz,
    )
