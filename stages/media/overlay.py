"""The video with the findings drawn in: curves above, the picture below, the original sound."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from stages.engine.advance import advance
from stages.media.canvas import Canvas
from stages.media.container import ContainerFacts, probe
from stages.media.frames import canvas_of, native_frames
from stages.media.movie import Movie
from stages.media.panel import Findings, Panel, mark_picture
from stages.media.planes import planes_in, planes_of
from stages.media.sound import spooled_sound
from stages.media.source import Decoder, choose_video, open_media

RATE_HZ = 44_100
"""Of the sound."""
_MIN_HEIGHT_PX = 360  # smaller videos are enlarged: the strip couldn't be read


def render_overlay(
    video: Path,
    out: Path,
    findings: Findings,
    *,
    facts: ContainerFacts | None = None,
    max_height_px: int = 720,
    threads: int = 1,
) -> None:
    """Write the video as MP4 (H.264, AAC) with the findings drawn in, upright, frame by frame.

    Every native frame keeps its time, so a variable rate stays one. The picture is at most max_height_px
    high; above it is the strip of `Panel`, since players lay their controls over the lower edge. Pictures
    pass one at a time; the waveform lies on the disk beside the film (21 MB a minute).

    Args:
        video: the video.
        out: the file to write, whatever its name ends in.
        findings: what to draw, in times and pixels of that video.
        facts: from `probe`, to save a pass over the packets.
        max_height_px: of the picture without the strip.
        threads: decoder and encoder threads, 0 = one per core.

    Raises:
        BadInput: as `probe`.
    """
    facts = facts or probe(video)
    scale = min(max_height_px, max(facts.height, _MIN_HEIGHT_PX)) / facts.height
    width, height = _even(facts.width * scale), _even(facts.height * scale)
    panel = Panel(findings, facts.duration_s, width, _even(max(112, height / 5)))
    strip_px = len(panel.background)
    strip, whole_px = np.empty_like(panel.background), strip_px + height
    to_shown = np.tile([width / facts.width, height / facts.height], 2)
    with ExitStack() as stack:
        samples, heard = stack.enter_context(spooled_sound(video, out.parent, RATE_HZ, facts))
        sound = samples if heard else None
        container = stack.enter_context(open_media(video))
        movie = Movie(out, whole_px, width, sound=sound, rate_hz=RATE_HZ, threads=threads)
        stack.enter_context(movie)
        decoder = Decoder(container, choose_video(video, container), threads, clock=facts.clock)
        canvas: Canvas | None = None
        for number, (time_s, frame, aspect) in enumerate(native_frames(facts, decoder), 1):
            canvas = canvas or canvas_of(facts, frame, (width, height))
            image = np.empty((3 * whole_px // 2, width), np.uint8)
            planes, box = planes_in(image), findings.box(time_s)
            picture = planes.rows(strip_px, whole_px)
            if own := planes_of(frame, canvas, aspect):
                picture.put(own)
            else:
                picture.draw(canvas.draw(frame, aspect))
            mark_picture(picture, None if box is None else box * to_shown, findings.notice)
            panel.draw(strip, time_s)
            planes.rows(0, strip_px).draw(strip)
            movie.write(time_s, image)
            advance(number, facts.frame_count)


def _even(length_px: float) -> int:
    return max(2, 2 * round(length_px / 2))
