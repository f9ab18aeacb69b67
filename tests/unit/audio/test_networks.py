"""A graph is asked for few shapes however long the recordings are: OpenVINO keeps what each of them took."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.audio import audio_graph, networks
from stages.audio.convolutions import RATE_HZ, Convolutions, frames_of
from stages.audio.networks import GraphAudio
from stages.audio.recording import predict_recording
from stages.audio.speaking import tiling_windows
from stages.core.arrays import Floats
from stages.inference.engines import Engine

WINDOW_S, STEP_S, STEPS = 0.4, 0.02, 20
ANATOMY = Convolutions([40, 5], [16, 2], "layer")
CONFIG = {"backbone": ANATOMY._asdict(), "window_s": WINDOW_S}


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Stand in for the graphs; the shapes that they were asked for."""
    shapes: list[tuple[int, ...]] = []

    def convolve(waveform: Floats) -> list[Floats]:
        shapes.append(waveform.shape)
        frames = frames_of(ANATOMY, np.array(waveform.shape[1]))
        reach, stride = 40 + 4 * 16, 32
        starts = stride * np.arange(frames)
        cut = waveform[:, starts[:, None] + np.arange(reach)]
        return [np.stack([cut.mean(-1), cut.max(-1)], axis=1)]

    def rest(convolved: Floats, real: Any) -> list[Floats]:
        shapes.append((*convolved.shape, *real.shape))
        means = convolved[:, :, : convolved.shape[2] // STEPS * STEPS]
        said = means.reshape(len(convolved), 2, STEPS, -1).mean(-1).swapaxes(1, 2)
        return [said, 2 * said]

    monkeypatch.setattr(audio_graph, "open_audio", lambda *_: (convolve, rest))
    return shapes


def hear(network: GraphAudio, seconds: float, normalisation: Any) -> Floats:
    noise = np.random.default_rng(0).standard_normal(round(seconds * RATE_HZ)).astype(np.float32)
    predicted = predict_recording(
        network,
        noise,
        tiling_windows(seconds, window_s=WINDOW_S, hop_s=WINDOW_S / 2, step_s=STEP_S),
        steps=int(seconds / STEP_S),
        window_s=WINDOW_S,
        step_s=STEP_S,
        normalisation=normalisation,
    )
    return np.concatenate(predicted, axis=1)


@pytest.mark.parametrize("normalisation", ["window", "recording"])
def test_recordings_of_many_lengths_meet_few_shapes(
    graphs: list[tuple[int, ...]], normalisation: Any
) -> None:
    network = GraphAudio(Path(), CONFIG, Engine("openvino", "float32"))
    for seconds in np.arange(0.12, 6, 0.06).tolist():
        hear(network, seconds, normalisation)
    assert len(set(graphs)) <= 4 + 4 * 3, "4 numbers of windows; stretches to 2.5 windows, in quarters"


@pytest.mark.parametrize("seconds", [0.13, 0.4, 0.77, 1.0, 3.31])
def test_filling_up_changes_nothing(
    graphs: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    filled = hear(GraphAudio(Path(), CONFIG, Engine("openvino", "float32")), seconds, "recording")
    stretches = {shape[1] for shape in graphs if len(shape) == 2}
    assert {samples % (round(WINDOW_S * RATE_HZ) // networks.PARTS) for samples in stretches} == {0}
    monkeypatch.setattr(networks, "PARTS", round(WINDOW_S * RATE_HZ))
    monkeypatch.setattr(networks, "MOST_ON_A_PROCESSOR", 16)
    exact = hear(GraphAudio(Path(), CONFIG, Engine("openvino", "float32")), seconds, "recording")
    np.testing.assert_array_equal(filled, exact)


@pytest.mark.parametrize("samples", [104, 1000, 6400, 6401])
def test_a_stretch_has_the_frames_of_its_own_samples(graphs: list[tuple[int, ...]], samples: int) -> None:
    network = GraphAudio(Path(), CONFIG, Engine("openvino", "float32"))
    frames = network.convolve(np.ones(samples, np.float32)).shape[1]
    assert frames == frames_of(ANATOMY, np.array(samples))
