#!/usr/bin/env bash
# pyannote.core: speakers who take turns overlap once they are brought to frames, and segments grow by a frame.
#
# Guess: `annotation.discretize(resolution=1 / 25)` marks the frames that a segment covers, so that two segments without
# a gap give frames without a gap and without overlap, and all frames of a speaker together last as long as he speaks.
# Behaviour: a segment gets the frames from that whose middle is nearest to its begin to that whose middle is nearest to
# its end, both included: one frame more than its duration, on the mean. Where one ends as the next begins, both get the
# frame. So every change of speaker is an overlap of one frame, though `get_overlap()` of the same annotation is empty;
# a laugh of .2 s lasts .24, on the mean. Times that lie on the bounds of frames, as labels made frame by frame do, are
# ties, which numpy gives to the even number and the last bit of the quotient decides: five whole frames become five,
# six or seven, depending on where they lie. The description of `crop` says how its "center" mode chooses frames; that
# of `discretize` neither names the mode nor says that frames are added. (Pull request 73 mended the number of all
# frames, if `duration` is given, as it is below.) With 10 ms it is a trifle, with a video's frames it isn't:
# overlapping speech, and what is counted in frames of short segments, are made by the conversion. Frames whose middle
# lies within a segment neither overlap nor add up to more.
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'pyannote.core==6.1.0' 'numpy==2.4.6' 2> pip.txt || { cat pip.txt; exit 1; }
cat > turns.py <<'END'
from importlib.metadata import version

import numpy as np
from pyannote.core import Annotation, Segment

TURNS = 400
LABELS = ("A", "B", "laugh")
print(f"pyannote.core {version('pyannote.core')}, numpy {np.__version__}")
print("frames a second  times        changes  overlaps  frames with both    A speaks (s)   laughs (s)")
for frame_rate in (25, 30, 100):
    for aligned in (True, False):
        random = np.random.default_rng(0)
        bounds = np.concatenate([[0], np.cumsum(random.integers(frame_rate // 5, 2 * frame_rate, TURNS))])
        frames = int(bounds[-1])
        if not aligned:
            bounds = bounds + np.pad(random.uniform(-0.5, 0.5, TURNS - 1), 1)
        bounds_s = bounds / frame_rate
        annotation = Annotation()
        for k, (begin_s, end_s) in enumerate(zip(bounds_s[:-1], bounds_s[1:])):
            annotation[Segment(begin_s, end_s), "speech"] = LABELS[k % 2]
        overlaps = len(annotation.get_overlap())
        assert overlaps == 0, "the speakers overlap"
        for begin_s in bounds_s[:-1:8]:
            annotation[Segment(begin_s, begin_s + 0.2), "laughter"] = "laugh"
        end_s = float(bounds_s[-1])
        options = {"resolution": 1 / frame_rate, "duration": end_s, "labels": LABELS}
        marked = annotation.discretize(support=Segment(0, end_s), **options).data
        both = int((marked[:, :2].sum(axis=1) == 2).sum())
        seconds = marked.sum(axis=0) / frame_rate
        true_s = [annotation.label_duration(label) for label in LABELS]
        middles_s = (np.arange(frames) + 0.5) / frame_rate
        by_middle = np.searchsorted(bounds_s, middles_s) % 2 == 1
        times = "of frames" if aligned else "free"
        print(f"{frame_rate:15}  {times:11} {TURNS - 1:8} {overlaps:9} {both:17}", end="")
        print(f"  {true_s[0]:7.1f} {seconds[0]:7.1f}  {true_s[2]:5.1f} {seconds[2]:5.1f}")
        assert len(marked) == frames and both == TURNS - 1, "this has changed"
        assert abs(seconds[0] - true_s[0] - TURNS / 2 / frame_rate) < 0.3 * TURNS / 2 / frame_rate, "this has changed"
        assert seconds[2] > true_s[2], "this has changed"
        assert abs(by_middle.sum() / frame_rate - true_s[0]) < 0.5, "counting by the middle isn't right, either"
lengths = []
for begin in range(1, 90):  # five frames each
    annotation = Annotation()
    annotation[Segment(begin / 25, (begin + 5) / 25)] = "laugh"
    lengths.append(int(annotation.discretize(support=Segment(0, 4), resolution=1 / 25, duration=4).data.sum()))
said = ", ".join(f"{lengths.count(length)} times {length}" for length in sorted(set(lengths)))
print(f"frames marked for five whole frames, 25 a second, from each of {len(lengths)} places: {said}")
assert {5, 6, 7} == set(lengths), "this has changed"
END
venv/bin/python turns.py

# Seen on 2026-11-28:
# pyannote.core 6.1.0, numpy 2.4.6
# frames a second  times        changes  overlaps  frames with both    A speaks (s)   laughs (s)
#              25  of frames        399         0               399    219.8   228.8   10.0  12.4
#              25  free             399         0               399    220.0   228.4   10.0  12.0
#              30  of frames        399         0               399    220.4   227.1   10.0  11.4
#              30  free             399         0               399    220.6   227.6   10.0  11.7
#             100  of frames        399         0               399    222.5   224.6   10.0  10.5
#             100  free             399         0               399    222.6   224.7   10.0  10.5
# frames marked for five whole frames, 25 a second, from each of 89 places: 39 times 5, 11 times 6, 39 times 7
