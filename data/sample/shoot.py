"""Draw one clip with all its files: film, labels, and the truth behind them."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from data.sample.annotations import SPLIT_FOLDERS, write_labels, write_table
from data.sample.cast import Clip
from data.sample.expressions import coefficients
from data.sample.face import Person
from data.sample.film import frame_ticks, write_film
from data.sample.looks import paint_wall
from data.sample.soundtrack import mix
from data.sample.trajectories import RATE_HZ, Performance, draw_affect, draw_talking, perform
from data.sample.voice import VOICE_RATE_HZ, speak
from stages.core.arrays import Flags, Floats, Image

NECK_HEIGHT = 0.87
"""Where necks end, as a fraction of the frame height."""


def shoot(clip: Clip, out: Path) -> int:
    """Write everything about one clip below `out`; returns its number of frames.

    Every random draw comes from the clip's own seed, so clips can be shot in any order, anywhere.
    """
    cv2.setNumThreads(1)  # clips run side by side
    rng = np.random.default_rng(clip.seed)
    ticks, tick_s = frame_ticks(rng, clip.duration_s, clip.rate_hz)
    time_s = ticks * float(tick_s)
    performances = _perform(rng, clip)
    away = _walk_away(rng, clip, time_s)
    voices = [speak(rng, p, role.looks) for p, role in zip(performances, clip.roles, strict=True)]
    talking = np.any([p.talking for p in performances], axis=0).repeat(round(VOICE_RATE_HZ / RATE_HZ))
    stereo, voice, background = mix(rng, np.sum(voices, axis=0), talking, clip.snr_db)

    film = out / "corpus" / clip.file
    film.parent.mkdir(parents=True, exist_ok=True)
    frames = _frames(rng, clip, performances, time_s, away)
    write_film(film, frames, ticks, tick_s, stereo if clip.oddity.sound else None)
    for role, performance in zip(clip.roles, performances, strict=True):
        _write_labels(rng, out, clip, role.subject, _at(time_s, performance.valence_arousal))
        _write_truth(out / "truth" / "trajectories" / f"{role.subject}.csv", time_s, performance, away)
    if clip.oddity.sound:
        _write_stems(out / "truth" / "stems" / clip.name, voice, background)
    return len(time_s)


def _perform(rng: Generator, clip: Clip) -> list[Performance]:
    """What everybody in the clip feels and does; two people take turns to talk."""
    count = round(clip.duration_s * RATE_HZ)
    affects = [draw_affect(rng, count, role.mean) for role in clip.roles]
    first = draw_talking(rng, affects[0])
    return [perform(rng, affect, talking) for affect, talking in zip(affects, (first, ~first), strict=False)]


def _walk_away(rng: Generator, clip: Clip, time_s: Floats) -> Floats:
    """Sideways shift of the person in pixels. Shape: (frames,)."""
    if not clip.oddity.leaves:
        return np.zeros(len(time_s))
    leaves_s = rng.uniform(0.35, 0.5) * clip.duration_s
    out = np.clip((time_s - leaves_s) / 0.6, 0, 1) * np.clip((leaves_s + 3.2 - time_s) / 0.6, 0, 1)
    return np.asarray(clip.frame_px[0] * out**2 * (3 - 2 * out))


def _frames(
    rng: Generator, clip: Clip, performances: list[Performance], time_s: Floats, away: Floats
) -> Iterator[Image]:
    """Draw the frames one by one. Shape: each (height, width, 3), RGB."""
    width, height = clip.frame_px
    wall = paint_wall(rng, clip.wall_rgb, width, height)
    seat_px = width / len(clip.roles)
    people = [
        Person(role.looks, ((place + 0.5) * seat_px, height * NECK_HEIGHT), clip.frame_px, rng)
        for place, role in enumerate(clip.roles)
    ]
    acts = [
        (_at(time_s, coefficients(p.valence_arousal, p.blink)), _at(time_s, p.jaw), _at(time_s, p.pose))
        for p in performances
    ]
    for index, shift in enumerate(away.round().astype(int)):
        picture = wall.copy()
        for person, (muscles, jaw, pose) in zip(people, acts, strict=True):
            person.draw(picture, muscles[index], float(jaw[index]), pose[index], int(shift))
        yield picture


def _write_labels(rng: Generator, out: Path, clip: Clip, subject: str, valence_arousal: Floats) -> None:
    """Labels as annotators would have left them; those of test subjects go to the truth only."""
    frames = len(valence_arousal)
    rows = frames + clip.oddity.surplus_rows
    shown = valence_arousal[np.minimum(np.arange(rows), frames - 1)]
    hidden = clip.split == "test"
    root = out / ("truth/annotations" if hidden else "corpus/annotations/VA_Estimation_Challenge")
    labelled = _labelled(rng, rows) if clip.oddity.unlabelled else np.ones(rows, dtype=bool)
    write_labels(root / SPLIT_FOLDERS[clip.split] / f"{subject}.txt", shown, labelled)


def _labelled(rng: Generator, rows: int) -> Flags:
    """All but two stretches of 4 to 8 % each, one of them at the start. Shape: (rows,)."""
    labelled = np.ones(rows, dtype=bool)
    for start in (0, int(rows * rng.uniform(0.5, 0.8))):
        labelled[start : start + int(rows * rng.uniform(0.04, 0.08))] = False
    return labelled


def _write_truth(file: Path, time_s: Floats, performance: Performance, away: Floats) -> None:
    """The curves behind one person, per native frame."""
    valence, arousal = _at(time_s, performance.valence_arousal).T
    columns = {
        "time_s": time_s,
        "valence": valence,
        "arousal": arousal,
        "talking": _at(time_s, performance.talking.astype(float)) > 0.5,
        "jaw": _at(time_s, performance.jaw),
        "away_px": away,
    }
    write_table(file, columns)


def _write_stems(folder: Path, voice: Floats, background: Floats) -> None:
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    for name, sound in (("voice", voice), ("background", background)):
        soundfile.write(folder / f"{name}.wav", sound, VOICE_RATE_HZ, subtype="PCM_16")


def _at(time_s: Floats, curve: Floats) -> Floats:
    """A curve at RATE_HZ, read at these times. Shape: (N,) or (N, C) -> (frames,) or (frames, C)."""
    at = np.arange(len(curve)) / RATE_HZ
    if curve.ndim == 1:
        return np.interp(time_s, at, curve)
    return np.stack([np.interp(time_s, at, column) for column in curve.T], axis=1)
