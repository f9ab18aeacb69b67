"""What is odd about a decoded video, in sentences: the problem, and what can be done about it."""

from collections.abc import Iterator

from stages.media.container import ContainerFacts, PictureFacts
from stages.media.frames import GridDecoding
from stages.media.limits import long_gaps, still_words
from stages.media.sound import Heard, Sound

MAX_DAMAGED_SHARE = 0.01
"""More native frames lost than this deserve a note."""
MOST_UNREAD = 0.2
"""Share of a Matroska or WebM file behind its last packet: of joined recordings FFmpeg reads two."""
LONG_GAP_S = 60.0
"""So does a longer time without a new frame."""
LONG_SOUND_S, LONG_SOUND_SHARE = 1.0, 0.01
"""So does sound that goes on for longer than both after the last frame."""

_AT_ITS_RATE = "`ffmpeg -r RATE -i FILE -c copy FILE.mp4`, and take that file"
_INTACT = "Get an intact copy if you can"
_NOTHING = "Nothing to do"
_MAX_PLACES = 5
_BELONGS = "belongs to another program than the picture"

Oddity = tuple[str, str]


def oddities(
    facts: ContainerFacts, grid: GridDecoding | None, sound: Heard | Sound | None, *, asked: int | None = None
) -> Iterator[Oddity]:
    """Problem and remedy of everything odd.

    Args:
        facts: of the video.
        grid: its frames, decoded to the end; None where a later stage decodes them and notes what is odd.
        sound: its sound; None without any.
        asked: number of the audio track that was asked for.
    """
    yield from _of_the_clock(facts)
    yield from oddities_of_pictures(facts, grid) if grid else ()
    yield from _of_the_colours(facts)
    yield from _of_the_sound(facts, sound, asked)


def _of_the_clock(facts: ContainerFacts) -> Iterator[Oddity]:
    if facts.video_choice[1] > 1:
        problem = "video stream {} of {} is taken".format(*facts.video_choice)
        yield f"{problem}, {facts.width} × {facts.height}", "Make a file of another one if that is wrong"
    if facts.rate_assumed:
        problem = f"no time stamps: its frames are taken for {facts.average_rate_hz:.4g} a second"
        yield f"{problem}, which may be a guess", f"If it is wrong: {_AT_ITS_RATE}"
    if facts.joints_s:
        problem = f"its time stamps start anew at {_places(facts.joints_s)}"
        yield f"{problem}: the takes are joined end to end", _NOTHING
    if facts.unread_share > MOST_UNREAD:
        problem = f"the last {facts.unread_share:.0%} of the file are not read"
        if facts.missing_s:
            yield f"{problem}: it is damaged there", _INTACT
        else:
            remedy = "Split it into its recordings, or convert it with the program that joined it"
            yield f"{problem}: several recordings were joined", remedy
    if facts.missing_s:
        end_s = facts.duration_s + facts.missing_s
        problem = f"it ends after {facts.duration_s:.1f} s, its header says about {end_s:.1f} s"
        yield f"{problem}: a copy or recording that stopped early, or damage", _INTACT
    for start_s, end_s in long_gaps(facts.time_s, LONG_GAP_S):
        yield still_words(start_s, end_s), "Nothing to do: the last frame stands in"


def oddities_of_pictures(facts: PictureFacts, grid: GridDecoding) -> Iterator[Oddity]:
    """Of the frames, decoded to the end: those that are lost, and changes of their size."""
    if grid.undecodable > MAX_DAMAGED_SHARE * facts.frame_count:
        lost = f"{grid.undecodable} of {facts.frame_count} frames can't be decoded; their neighbours stand in"
        yield lost, _INTACT
    if grid.damaged > MAX_DAMAGED_SHARE * facts.frame_count:
        patched = f"{grid.damaged} of {facts.frame_count} frames are damaged"
        yield f"{patched}, and shown as the decoder patches them up", _INTACT
    if grid.out_of_order > MAX_DAMAGED_SHARE * facts.frame_count:
        late = f"{grid.out_of_order} of {facts.frame_count} frames come after a later one"
        yield f"{late}; their neighbours stand in", _NOTHING
    if grid.changes:
        sizes = list(dict.fromkeys(f"{change.width} × {change.height}" for change in grid.changes))
        others = ", ".join(size for size in sizes if size != f"{facts.width} × {facts.height}")
        places = _places([change.time_s for change in grid.changes])
        problem = f"the picture changes between {facts.width} × {facts.height} and {others} at {places}"
        yield f"{problem}: it is scaled and padded to the first size", _NOTHING


def _of_the_colours(facts: ContainerFacts) -> Iterator[Oddity]:
    if facts.odd_matrix:
        problem = f"its colours are inexact: another matrix is taken for theirs ({facts.odd_matrix})"
        yield problem, "Convert it to BT.709, for example by FFmpeg's filter zscale"
    if facts.dynamic_range != "SDR":
        kind = "BT.2020 in SDR" if facts.dynamic_range == "BT.2020" else f"HDR ({facts.dynamic_range})"
        yield f"the picture is {kind}: it is converted to SDR, BT.709", _NOTHING


def _of_the_sound(facts: ContainerFacts, sound: Heard | Sound | None, asked: int | None) -> Iterator[Oddity]:
    tracks = len(facts.audible_tracks)
    if sound is None:
        yield _why_silent(facts, asked), "Nothing to do: nothing counts as speaking here"
        return
    if facts.sound_beyond_s > max(LONG_SOUND_S, LONG_SOUND_SHARE * facts.duration_s):
        problem = f"the sound goes on for {facts.sound_beyond_s:.1f} s after the last frame"
        yield f"{problem}: that part has no trace", "Nothing to do if the picture is meant to end there"
    if sound.undecodable:
        yield f"{sound.undecodable} packets of sound can't be decoded: silence", _INTACT
    if tracks > 1 and asked is None:
        silent = [str(k) for k, audible in enumerate(facts.audible_tracks, start=1) if not audible]
        without = f"; no sound in {', '.join(silent)}" if silent else ""
        if others := [str(k) for k, other in enumerate(facts.tracks_elsewhere, start=1) if other]:
            without += f"; {', '.join(others)} {_BELONGS}"
        problem = f"audio track {facts.audio_track} of {tracks} is taken{without}"
        yield problem, "Choose another with --audio-track or decode.audio_track if that is the wrong one"
    elif asked is not None and facts.tracks_elsewhere[asked - 1 : asked] == (True,):
        remedy = "Leave out --audio-track (decode.audio_track) for the picture's own"
        yield f"audio track {asked} {_BELONGS}", remedy
    if sound.bass:
        problem = "the only sound is on the channel for bass (LFE), which players leave out: it is taken"
        yield problem, _NOTHING
    if sound.mending == "flip":
        yield "the right channel is the left one inverted: it is turned round before they are mixed", _NOTHING
    elif sound.mending != "none":
        problem = "the channels are partly inverted and cancel each other"
        yield f"{problem}: only the {sound.mending} one is taken", _NOTHING


def _why_silent(facts: ContainerFacts, asked: int | None) -> str:
    tracks = len(facts.audible_tracks)
    if not tracks:
        return "no audio stream"
    if asked is not None:
        return f"no sound in audio track {asked}, only silence"
    if any(facts.tracks_elsewhere):
        return "no sound in the picture's program" + (", only in others" if any(facts.audible_tracks) else "")
    return "no sound in its audio stream, only silence" if tracks == 1 else f"no sound in its {tracks} tracks"


def _places(times_s: list[float] | tuple[float, ...]) -> str:
    shown = ", ".join(f"{time_s:.1f}" for time_s in times_s[:_MAX_PLACES])
    more = len(times_s) - _MAX_PLACES
    return f"{shown} s" + (f" and {more} more times" if more > 0 else "")
