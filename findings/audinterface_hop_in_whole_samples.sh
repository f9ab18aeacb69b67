#!/usr/bin/env bash
# audinterface: features at the frame rate of a 29.97 video are dated up to a second late within ten minutes.
#
# Guess: `Feature(win_dur=d, hop_dur=d)` with `d = 1 / frame rate`, "treated as seconds", gives one row per video frame;
# the row whose `start` is 590 s describes the sound from 590 s on, and no row lies beyond the end.
# Behaviour: the distance of the windows is cut down to whole samples, and the index is counted in the seconds that were
# asked for. At 16 kHz a frame of 30 a second is 533.33 samples: the windows go on by 533, the index by 533.33. So time
# is stretched, by .06 % at 30 frames a second, .16 % at 29.97 and .35 % at 59.94: after ten minutes a sound stands .4,
# 1 and 2.1 s too late, and the last rows have times after the end of the recording. It is so whether the features are
# of one window each or made by `audinterface.utils.sliding_window`. At 25 or 50 frames a second, as the number of
# samples is whole, all is right, and a test with a few seconds shows nothing. No warning; the documentation doesn't
# speak of whole samples. Merged with video or labels by time, the voice lags behind the face, more and more. A hop of
# 20 ms and interpolation at the frames' times is right. (crepe and openl3 round alike, by their issues 77 and 81.)
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'audinterface==1.4.0' 'audformat==1.4.3' 'pandas==3.1.1' 'numpy==2.4.6' 2> pip.txt || { cat pip.txt; exit 1; }
cat > late.py <<'END'
import audformat
import audinterface
import numpy as np
import pandas

RATE_HZ, LENGTH_S = 16_000, 600
EVENTS_S = (60, 300, 590)
FRAME_RATES = {"25": 25, "29.97": 30_000 / 1001, "30": 30, "50": 50, "59.94": 60_000 / 1001}
signal = np.zeros(RATE_HZ * LENGTH_S, np.float32)
for event_s in EVENTS_S:
    signal[event_s * RATE_HZ : (event_s + 1) * RATE_HZ] = 1


def of_one_window(samples, sampling_rate):
    return float(np.abs(samples).mean())


def of_all_windows(samples, sampling_rate, win_dur=None, hop_dur=None):
    return np.abs(audinterface.utils.sliding_window(samples, sampling_rate, win_dur, hop_dur)).mean(axis=1)


def found(function, frame_s):
    """Number of rows, start of the last one, times at which the level rises; all in seconds."""
    windows = {"win_dur": frame_s, "hop_dur": frame_s, "process_func_applies_sliding_window": function is of_all_windows}
    rows = audinterface.Feature("level", process_func=function, **windows).process_signal(signal, RATE_HZ)
    start_s = rows.index.get_level_values("start").total_seconds().to_numpy()
    loud = rows["level"].to_numpy() > 0.5
    return len(rows), start_s[-1], start_s[1:][loud[1:] & ~loud[:-1]]


print(f"audinterface {audinterface.__version__}, audformat {audformat.__version__}, pandas {pandas.__version__}")
print(f"how late sounds at {', '.join(map(str, EVENTS_S))} s are found in a recording of {LENGTH_S} s")
print("frames a second  windows    rows  of frames  last start (s)   late by (s)")
for name, frame_rate in FRAME_RATES.items():
    for function in (of_one_window, of_all_windows) if name in ("25", "29.97") else (of_all_windows,):
        rows, last_s, rises_s = found(function, 1 / frame_rate)
        late_s = rises_s - EVENTS_S
        frames = int(LENGTH_S * frame_rate)
        way = "one by one" if function is of_one_window else "all"
        print(f"{name:16} {way:10} {rows:5} {frames:10} {last_s:15.3f}", *(f"{each:7.3f}" for each in late_s))
        samples = RATE_HZ / frame_rate
        stretched = samples / int(samples) - 1
        assert np.allclose(late_s, np.array(EVENTS_S) * stretched, atol=1.1 / frame_rate), "this has changed"
        assert (last_s > LENGTH_S) == (rows > frames) == (stretched > 0), "this has changed"
END
venv/bin/python late.py

# Seen on 2026-11-28:
# audinterface 1.4.0, audformat 1.4.3, pandas 3.1.1
# how late sounds at 60, 300, 590 s are found in a recording of 600 s
# frames a second  windows    rows  of frames  last start (s)   late by (s)
# 25               one by one 15000      15000         599.960   0.000   0.000   0.000
# 25               all        15000      15000         599.960   0.000   0.000   0.000
# 29.97            one by one 18011      17982         600.934   0.093   0.500   0.957
# 29.97            all        18011      17982         600.934   0.093   0.500   0.957
# 30               all        18011      18000         600.333   0.033   0.200   0.367
# 50               all        30000      30000         599.980   0.000   0.000   0.000
# 59.94            all        36090      35964         602.085   0.210   1.051   2.075
