"""Spleeter itself, for comparison: random weights, and a separation with its times.

    <its python> original_spleeter.py weights MODELS 2stems
    <its python> original_spleeter.py separate MODELS 2stems mixture.npy stems.npz REPEATS

Runs in Spleeter's own environment (`pip install spleeter`, Python 3.10 or 3.11), never in ours.
`weights` makes MODELS/<model>/, a checkpoint of the full-size graph with seeded random numbers in it;
`separate` writes every stem, and prints one line of JSON: seconds to import, and of each call.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np


def make_weights(models: str, name: str) -> None:
    """Save Spleeter's own graph with random numbers for weights, normalisation statistics included."""
    import tensorflow as tf
    from spleeter.model import EstimatorSpecBuilder
    from spleeter.utils.configuration import load_configuration

    folder = Path(models) / name
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        waveform = tf.compat.v1.placeholder(tf.float32, (None, 2))
        features = {"waveform": waveform, "audio_id": tf.constant("")}
        assert EstimatorSpecBuilder(features, load_configuration(f"spleeter:{name}")).outputs
        step = tf.compat.v1.train.get_or_create_global_step()
        session.run(step.initializer)
        for variable in tf.compat.v1.trainable_variables() + _statistics(tf):
            variable.load(_draw(rng, variable.name, variable.shape.as_list()), session)
        tf.compat.v1.train.Saver().save(session, str(folder / "model"))
    (folder / ".probe").write_text("OK")


def _statistics(tf):
    names = ("moving_mean", "moving_variance")
    return [v for v in tf.compat.v1.global_variables() if v.op.name.endswith(names)]


def _draw(rng: np.random.Generator, name: str, shape: list) -> np.ndarray:
    kind = name.split("/")[-1].split(":")[0]
    if kind == "kernel":
        fan_in = np.prod(shape[:2]) * min(shape[2:])
        return rng.normal(0, 1.6 / np.sqrt(fan_in), shape).astype(np.float32)
    if kind in ("gamma", "moving_variance"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return rng.normal(0, 0.2, shape).astype(np.float32)


def separate(models: str, name: str, source: str, target: str, repeats: str) -> None:
    """Separate a (n, 2) float32 waveform at 44.1 kHz, several times over."""
    os.environ["MODEL_PATH"] = models
    began = time.perf_counter()
    from spleeter.separator import Separator

    imported = time.perf_counter() - began
    separator, waveform = Separator(f"spleeter:{name}", multiprocess=False), np.load(source)
    calls = []
    for _ in range(int(repeats)):
        began = time.perf_counter()
        stems = separator.separate(waveform)
        calls.append(time.perf_counter() - began)
    np.savez(target, **stems)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"import_s": imported, "calls_s": calls, "peak_mb": peak_mb}))


if __name__ == "__main__":
    {"weights": make_weights, "separate": separate}[sys.argv[1]](*sys.argv[2:])
