#!/usr/bin/env bash
# NeuroKit2 resamples physiology to another rate and stretches its time: what happens late is dated wrongly.
#
# Guess: `signal_resample(signal, sampling_rate=a, desired_sampling_rate=b)` gives values whose k-th one is that of
# k / b seconds, by each of its methods; they differ in accuracy and speed only, as its documentation says.
# Behaviour: method "interpolation", which is taken if none is named, lays the last new value onto the last old one (by
# scipy.ndimage.zoom, which fits corner to corner), though they stand for different times. The error grows from none at
# the start to the difference of both steps at the end, whatever the recording's length: skin conductance brought from
# 4 Hz, a common wristband's rate, to the 25 of a video comes up to .21 s late; 1000 Hz brought down to one value a second
# up to 1 s early. The other methods are right, but for "pandas", which takes the next old value where there is none:
# half a sample early. A mean over the recording hides it; the delay of a reaction after an event doesn't.
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'neurokit2==0.3.0' 'scipy==1.17.1' 'pandas==3.0.6' 'numpy==2.4.6' 2> pip.txt || { cat pip.txt; exit 1; }
cat > resample.py <<'END'
import neurokit2
import numpy as np
import scipy

LENGTH_S = 60
METHODS = ("interpolation", "numpy", "poly", "FFT", "pandas")


def found_s(event_s, old_hz, new_hz, method):
    """Where the middle of a response of some seconds lies in the resampled signal."""
    time_s = np.arange(LENGTH_S * old_hz) / old_hz
    response = np.exp(-0.5 * ((time_s - event_s) / 1.5) ** 2)
    options = {} if method == "interpolation" else {"method": method}
    resampled = neurokit2.signal_resample(response, sampling_rate=old_hz, desired_sampling_rate=new_hz, **options)
    assert len(resampled) == LENGTH_S * new_hz
    return (resampled * np.arange(len(resampled)) / new_hz).sum() / resampled.sum()


print(f"NeuroKit2 {neurokit2.__version__}, scipy {scipy.__version__}; how late a response is found, in seconds")
print("from, to (Hz)  response at ", *(f"{method:>13}" for method in METHODS))
for old_hz, new_hz in ((4, 25), (1000, 25), (1000, 4), (1000, 1)):
    for event_s in (6, 30, 54):
        late_s = [found_s(event_s, old_hz, new_hz, method) - event_s for method in METHODS]
        print(f"{old_hz:5} {new_hz:5}          {event_s:4} s  ", *(f"{each:13.3f}" for each in late_s))
        expected = event_s * (1 / old_hz - 1 / new_hz) / LENGTH_S  # of what fits corner to corner
        assert abs(late_s[0] - expected) < 0.05 * abs(expected), "this has changed"
        assert max(map(abs, late_s[1:4])) < 0.005, "this has changed"
END
venv/bin/python -W ignore resample.py

# Seen on 2026-11-28:
# NeuroKit2 0.3.0, scipy 1.17.1; how late a response is found, in seconds
# from, to (Hz)  response at  interpolation         numpy          poly           FFT        pandas
#     4    25             6 s           0.021         0.000         0.000         0.001        -0.120
#     4    25            30 s           0.105        -0.000         0.000        -0.000        -0.120
#     4    25            54 s           0.189        -0.000        -0.000        -0.000        -0.120
#  1000    25             6 s          -0.004         0.000         0.000         0.000         0.000
#  1000    25            30 s          -0.020         0.000         0.000        -0.000         0.000
#  1000    25            54 s          -0.035        -0.000        -0.000        -0.000        -0.000
#  1000     4             6 s          -0.025         0.000         0.000         0.000         0.000
#  1000     4            30 s          -0.125         0.000         0.000         0.000         0.000
#  1000     4            54 s          -0.224        -0.000        -0.000        -0.001        -0.000
#  1000     1             6 s          -0.100         0.000        -0.003        -0.000         0.000
#  1000     1            30 s          -0.500         0.000         0.000        -0.000         0.000
#  1000     1            54 s          -0.899        -0.001         0.003        -0.004        -0.001
