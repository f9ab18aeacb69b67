"""`valaro info`: what a recording holds, and what the pipeline would do with it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stages.core.errors import BadInput
from stages.core.params import PARAMS_FILE, Params, load_params
from stages.engine.fingerprint import ROOT
from stages.media.audio_only import probe_sound
from stages.media.container import ContainerFacts, probe, track_words
from stages.media.limits import Limits, long_gaps, still_words
from stages.media.oddities import LONG_GAP_S
from stages.media.scan import Hearing
from stages.media.source import audio_tracks, open_media
from stages.media.still import pictures_in, read_still
from valaro.commands.terminal import fail, result
from valaro.recordings.kinds import SOUND_ROWS_HZ, kind_of

LEAST_START_S = 0.005  # less isn't worth a word


def info(videos: Sequence[Path]) -> int:
    """Describe each video; the number of those that can't be read.

    Raises:
        ValaroError: params.yaml isn't valid.
    """
    home = Path() if Path(PARAMS_FILE).is_file() else ROOT
    params, failed = load_params(home / PARAMS_FILE), 0
    for number, video in enumerate(videos):
        try:
            said = _said_of(video, params)
        except BadInput as error:
            failed += 1
            fail(str(error))
            continue
        if number:
            result("")
        result(str(video))
        for name, words in said:
            result(f"  {name:9} {words}")
    return failed


def _said_of(recording: Path, params: Params) -> list[tuple[str, str]]:
    if kind_of(recording) == "picture":
        return list(_still(recording, Limits(**params.decode.limits())))
    facts = _facts_of(recording, params)
    return [*described(recording, facts), *planned(recording, facts, params)]


def _still(path: Path, limits: Limits) -> Iterator[tuple[str, str]]:
    height, width = read_still(path, limits).shape[:2]
    held = pictures_in(path)
    yield "picture", f"{width} × {height}" + (f", the first of {held}" if held > 1 else "")
    yield "pipeline", "one row, by the systems that look at faces"


def _facts_of(video: Path, params: Params) -> ContainerFacts:
    """Also of a file that the pipeline refuses for its size: it can still be described."""
    limits = Limits(
        max_pixels=1 << 62,
        max_duration_s=np.inf,
        max_frames=1 << 62,
        max_gap_s=np.inf,
        max_audio_samples=1 << 62,
    )
    hearing = Hearing(min_sound_db=params.decode.min_sound_db)
    if kind_of(video) == "sound":
        return probe_sound(video, SOUND_ROWS_HZ, limits, hearing)
    return probe(video, params.index.count_frames, limits, hearing)


def described(video: Path, facts: ContainerFacts) -> Iterator[tuple[str, str]]:
    """What the container holds, in words."""
    with open_media(video) as container:
        size_kb = video.stat().st_size / 1000
        size = f"{size_kb / 1000:,.1f} MB" if size_kb >= 1000 else f"{size_kb:.0f} kB"
        yield "file", f"{container.format.long_name}, {size}"
    if not facts.video_streams:
        yield "length", f"{facts.duration_s:.2f} s"
        yield from _clock(facts)
        yield from _sound(video, facts)
        return
    yield "picture", _picture(facts)
    yield "rate", _rate(facts)
    told = facts.declared_frames
    header = f" (its header says {told})" if told and told != facts.frame_count else ""
    yield "length", f"{facts.duration_s:.2f} s, {facts.frame_count} frames{header}"
    if facts.missing_s:
        yield "missing", f"{facts.missing_s:.1f} s at the end, by the header: it stopped early, or is damaged"
    yield from _clock(facts)
    yield from _sound(video, facts)
    if facts.video_streams > 1:
        yield "streams", f"{facts.video_streams} of video; one is taken"


def _rate(facts: ContainerFacts) -> str:
    words = f"{facts.average_rate_hz:.4g} frames/s"
    if not facts.stamped:
        return f"{words}; time stamps are missing or go back, so times follow from the order of the frames"
    if not facts.variable_rate:
        return f"{words}, constant"
    interval_ms = np.diff(facts.time_s) * 1000
    spread = f"{interval_ms.min():.0f} to {interval_ms.max():.0f} ms from frame to frame"
    return f"{words} on average, variable: {spread}"


def _picture(facts: ContainerFacts) -> str:
    words = [f"{facts.width} × {facts.height}"]
    if facts.pixel_aspect != 1:
        pixels = f"{facts.pixel_aspect.numerator}:{facts.pixel_aspect.denominator}"
        words.append(f"stored as {facts.coded_width} × {facts.coded_height} with pixels of {pixels}")
    if facts.rotation_deg:
        words.append(f"stored turned by {facts.rotation_deg}°")
    coded = [facts.video_codec, facts.pixel_format]
    if facts.dynamic_range == "BT.2020":
        coded.append("wide gamut (BT.2020), converted to BT.709")
    elif facts.dynamic_range != "SDR":
        coded.append(f"HDR ({facts.dynamic_range}), converted to SDR")
    if facts.interlaced:
        coded.append("interlaced: the first field of each frame is analysed")
    return f"{', '.join(words)}; {', '.join(coded)}"


def _clock(facts: ContainerFacts) -> Iterator[tuple[str, str]]:
    if facts.joints_s:
        times = ", ".join(f"{time_s:.1f}" for time_s in facts.joints_s)
        yield "clock", f"time stamps start anew at {times} s; the takes are joined end to end"
    for start_s, end_s in long_gaps(facts.time_s, LONG_GAP_S):
        yield "gap", still_words(start_s, end_s)
    if abs(facts.video_start_s) >= LEAST_START_S:
        yield "start", f"the first frame is at {facts.video_start_s:.3f} s of a player's clock"


def _sound(video: Path, facts: ContainerFacts) -> Iterator[tuple[str, str]]:
    """A line per audio track, with the number that --audio-track takes."""
    with open_media(video) as container:
        tracks = [track_words(track) for track in audio_tracks(container)]
    if not tracks:
        yield "sound", "none"
    for number, (words, audible) in enumerate(zip(tracks, facts.audible_tracks, strict=True), start=1):
        silent = "" if audible else ", silent"
        start_s = facts.audio_start_s or 0.0
        taken = number == facts.audio_track
        late = f", from {start_s:+.2f} s on" if taken and abs(start_s) >= LEAST_START_S else ""
        several = f"track {number}: " if len(tracks) > 1 else ""
        chosen = " (taken)" if taken and len(tracks) > 1 else ""
        yield "sound" if number == 1 else "", f"{several}{words}{silent}{late}{chosen}"


def planned(video: Path, facts: ContainerFacts, params: Params) -> Iterator[tuple[str, str]]:
    """What the pipeline would do with it under the active parameters."""
    refusal = _refused(video, facts, params)
    if refusal:
        yield "pipeline", f"refuses it: {refusal}"
        return
    from stages.media.frames import decode_grid

    fps_hz, side = params.decode.fps_hz, params.decode.max_side_px
    if not facts.video_streams:
        yield "pipeline", f"{facts.frame_count} rows, {SOUND_ROWS_HZ:g} a second, by the system audio alone"
        yield "windows", _audio_windows(facts, params)
        return
    grid = decode_grid(video, fps_hz, facts=facts, max_side_px=side)
    shrunk = f", scaled down to {side} px" if side and side < max(facts.width, facts.height) else ""
    yield (
        "pipeline",
        f"keeps {len(grid)} frames, {fps_hz:g} a second{shrunk}; a value for all {facts.frame_count}",
    )
    yield "windows", "; ".join(_windows(len(grid), facts, params))
    if not facts.has_audio:
        yield "", "nothing counts as speaking; audio and cross_attention abstain, fusions go on without them"


def _windows(steps: int, facts: ContainerFacts, params: Params) -> Iterator[str]:
    from stages.temporal.functionals import window_of_step
    from stages.temporal.windows import tile

    fps_hz = params.decode.fps_hz
    window = round(params.dynamic.window_s * fps_hz)
    count, hop = len(tile(steps, window, max(1, window // 2))), max(1, window // 2) / fps_hz
    padded = ", padded at its start" if steps < window else ""
    yield f"dynamic {count} of {params.dynamic.window_s:g} s every {hop:g} s{padded}"
    blocks = int(window_of_step(steps, fps_hz, params.kelm.window_s).max()) + 1
    yield f"kelm {blocks} of {params.kelm.window_s:g} s"
    if facts.has_audio:
        yield _audio_windows(facts, params)


def _audio_windows(facts: ContainerFacts, params: Params) -> str:
    from stages.audio.speaking import tiling_windows

    speech = params.speech
    heard = tiling_windows(
        facts.duration_s,
        window_s=speech.window_s,
        hop_s=speech.inference_hop_s,
        step_s=1 / params.decode.fps_hz,
    )
    return f"audio {len(heard)} of {speech.window_s:g} s every {speech.inference_hop_s:g} s"


def _refused(video: Path, facts: ContainerFacts, params: Params) -> str:
    """Why the limits keep it out; "" where they don't."""
    limits = Limits(**params.decode.limits())
    try:
        limits.check_size(video, facts.width, facts.height)
        limits.check_length(video, facts.frame_count, facts.duration_s)
    except BadInput as error:
        return f"{error.problem} (section decode: max_pixels, max_duration_s, max_frames)"
    return ""
