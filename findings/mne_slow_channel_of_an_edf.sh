#!/usr/bin/env bash
# MNE: a slow channel beside a fast one in an EDF file comes from the wrong time, or is nothing but zeros.
#
# Guess: a part of an EDF file (`get_data(tmin=...)`, `crop`, `Epochs`) holds what happened in that part, for every
# channel. Where rates differ, slow channels are brought to the highest one; the documentation of `read_raw_edf` and a
# warning say that parts read with `preload=False`, the default, then have artefacts at their edges (issue 10635).
# Behaviour: it isn't the edges. A part that doesn't begin with a data record skips as many values of the slow channel
# as it has to skip of the fast one. With EEG at 256 Hz and skin conductance at 4 Hz, as below, half a second becomes
# 32: what is left is stretched over the whole part, so it begins 31.5 s late and runs at another speed; where nothing is
# left, there are zeros, and then not even the warning is given. Epochs around events, which rarely fall onto the begin
# of a record, are such parts. The fast channel is right throughout, and everything is with `preload=True`, also where it
# is cropped afterwards. So the mean of a slow signal over many events comes out flat, and nothing tells why. (Issue
# 3894, of 2017 and closed, looks like it.)
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'mne==1.13.2' 'edfio==0.4.18' 'scipy==1.17.1' 'numpy==2.4.6' 2> pip.txt || { cat pip.txt; exit 1; }
cat > parts.py <<'END'
import warnings

import edfio
import mne
import numpy as np

FAST_HZ, SLOW_HZ, LENGTH_S = 256, 4, 600
SLOW = "skin conductance"
mne.set_log_level("WARNING")
time_s = np.arange(LENGTH_S * SLOW_HZ) / SLOW_HZ
rise = np.minimum(time_s, LENGTH_S - time_s)  # in the first half, the value is the second it was measured in
noise = np.random.default_rng(0).standard_normal(LENGTH_S * FAST_HZ)
signals = [
    edfio.EdfSignal(noise, FAST_HZ, label="EEG"),
    edfio.EdfSignal(rise, SLOW_HZ, label=SLOW, physical_range=(0, LENGTH_S)),
]
edfio.Edf(signals, data_record_duration=1).write("both.edf")


def part(begin_s, end_s):
    return lambda raw: raw.get_data(tmin=begin_s, tmax=end_s)


def cropped(begin_s, end_s):
    return lambda raw: raw.crop(begin_s, end_s).load_data().get_data()


def epoch(begin_s, end_s):
    events = np.array([[int(begin_s * FAST_HZ), 0, 1]])
    return lambda raw: mne.Epochs(raw, events, tmin=0, tmax=end_s - begin_s, baseline=None).get_data(picks="all")[0]


def read(way, preload):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fast, slow = way(mne.io.read_raw_edf("both.edf", preload=preload))
    return fast, slow[[0, len(slow) // 4, len(slow) // 2, 3 * len(slow) // 4]], len(said)


print(f"MNE {mne.__version__}; seconds that the values of the slow channel say they are from")
print("part                      preload=True                        preload=False                       warnings")
ways = {
    "get_data, 100 to 110": part(100, 110),
    "get_data, 100.5 to 110.5": part(100.5, 110.5),
    "get_data, 100.5 to 200.5": part(100.5, 200.5),
    "crop, 100.5 to 200.5": cropped(100.5, 200.5),
    "Epochs, 100.2 to 103.7": epoch(100.2, 103.7),
}
for name, way in ways.items():
    (right_fast, right, none), (fast, slow, warned) = read(way, True), read(way, False)
    print(f"{name:24}", *(f"{value:8.2f}" for value in right), *(f"{value:8.2f}" for value in slow), f"{warned:9}")
    begin_s, end_s = (float(word) for word in name.split(", ")[1].split(" to "))
    expected = np.linspace(begin_s, end_s, 5)[:4]
    assert np.allclose(right, expected, atol=0.1) and none == 0, "what is read in advance isn't right, either"
    assert np.array_equal(fast, right_fast), "the fast channel is concerned, too"
    if begin_s == 100:
        assert np.allclose(slow, expected, atol=0.1), "this has changed"
    elif end_s - begin_s < 30:
        assert not slow.any() and warned == 0, "this has changed"
    else:
        assert np.allclose(slow, np.linspace(132, 201, 5)[:4], atol=0.3) and warned == 1, "this has changed"
END
venv/bin/python parts.py

# Seen on 2026-11-28:
# MNE 1.13.2; seconds that the values of the slow channel say they are from
# part                      preload=True                        preload=False                       warnings
# get_data, 100 to 110       100.00   102.50   105.00   107.50   100.00   102.50   105.00   107.50         1
# get_data, 100.5 to 110.5   100.50   103.00   105.50   108.00     0.00     0.00     0.00     0.00         0
# get_data, 100.5 to 200.5   100.50   125.50   150.50   175.50   132.00   149.25   166.50   183.75         1
# crop, 100.5 to 200.5       100.50   125.50   150.50   175.50   132.00   149.25   166.50   183.75         1
# Epochs, 100.2 to 103.7     100.20   101.08   101.95   102.82     0.00     0.00     0.00     0.00         0
