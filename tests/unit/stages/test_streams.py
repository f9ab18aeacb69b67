"""What a subject's stage holds in memory doesn't grow with the length of the track."""

import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import embed, faces, finetune_folds, mouth
from stages.core.artefacts import Spool, open_arrays, read_arrays, write_arrays
from stages.core.params import load_params
from stages.engine.units import Unit
from stages.media.jpeg import pack_jpegs, spool_jpegs
from stages.vision import search
from stages.vision.crops import reuse_last
from stages.vision.detection import Detections

pytestmark = pytest.mark.long

FEW, MANY, SIDE = 100, 900, 160
FPS_HZ = 5.0
GROWTH_BYTES = 7_000_000
"""Of some 20 MB of JPEGs, and 60 MB of pictures. Following people takes some 6 kB a step; a piece of a file, 4 MB."""


def pictures(count: int) -> Iterable[np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    return (np.roll(noise, k, axis=1) for k in range(count))


def lay(folder: Path, count: int) -> Unit:
    """A track whose every frame shows the face, as decode, search and faces leave it."""
    time_s, box = np.arange(count) / FPS_HZ, np.array([10.0, 10, 86, 86], np.float32)
    with Spool(folder) as jpeg:
        offset = spool_jpegs(pictures(count), jpeg.write)
        arrays = {"jpeg": jpeg, "jpeg_offset": offset, "time_s": time_s, "frame_time_s": time_s}
        write_arrays(folder / "decode.h5", arrays, fps_hz=FPS_HZ, width=SIDE, height=SIDE, scale=1.0)
        track = {"box_xyxy": np.tile(box, (count, 1)), "detected": np.ones(count, bool)}
        arrays |= track | {"crop_index": reuse_last(track["detected"])}
        write_arrays(folder / "faces.h5", arrays, fps_hz=FPS_HZ)
    patch = np.random.default_rng(1).integers(0, 255, (count, 16, 16), np.uint8)
    found = {"box_xyxy": track["box_xyxy"], "score": np.ones(count, np.float32), "patch": patch}
    found |= {
        "step": np.arange(count, dtype=np.int32),
        "change": np.zeros(count, np.float32),
        "turned": np.zeros(count, np.float32),
        "time_s": time_s,
    }
    write_arrays(folder / "found.h5", found, width=SIDE, height=SIDE)
    reads = {"faces": folder / "faces.h5", "model": folder / "model", "frames": folder / "decode.h5"}
    return Unit("a", reads | {"found": folder / "found.h5", "faces/a": folder / "faces.h5"}, {}, {})


class Network:
    """A static model that answers at once."""

    image_size, threads, most, full_batches = 32, 1, None, False

    def answer(self, images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1)[:, :256].astype(np.float32)

    def fetch(self, answers: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        embedding = np.concatenate(answers)
        return embedding, embedding[:, :2]


class Meter:
    """A measure of mouths that looks at every crop."""

    def __init__(self, *_: Any) -> None: ...

    def measure(self, crops: Any) -> np.ndarray:
        return np.array([[float(crop[0, 0, 0]), 1.0] for crop in crops], np.float32)


class Detector:
    def detect(self, images: list[np.ndarray]) -> list[Detections]:
        return [
            Detections(np.array([[10.0, 10, 86, 86]], np.float32), np.ones(1, np.float32)) for _ in images
        ]


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch, repository: Path) -> dict[str, Callable[[Unit, Path], Any]]:
    """What each stage does with a unit, its networks replaced."""
    params = load_params(repository / "profiles" / "sample.yaml")
    monkeypatch.setattr(embed, "_network", lambda *_: Network())
    monkeypatch.setattr(mouth, "MouthMeter", Meter)
    monkeypatch.setattr(search, "detector_of", lambda *_: Detector())
    monkeypatch.setattr(search, "device_of", lambda *_: "cpu")
    monkeypatch.setattr(finetune_folds, "describe", lambda *_: params.finetune.backbones["test_resnet"])
    face = {"shown": "face", "engine": "torch", "precision": "float32"}

    def run(function: Any, settings: Any, write: str, facts: dict[str, Any], *hidden: str) -> Any:
        def one(unit: Unit, out: Path) -> None:
            reads = {role: path for role, path in unit.reads.items() if role not in hidden}
            writes = {write: out / "out.h5", faces.ALL: out / "tracks.h5"}
            function(Unit("a", reads, writes, facts), settings)

        return one

    small = params.embed.model_copy(update={"batch_size": 8})
    detection = params.faces.detection().model_copy(update={"batch_size": 4})
    return {
        "embed": run(embed.embed_subject, small, "embeddings", face, "frames"),
        "embed of frames": run(embed.embed_subject, small, "embeddings", face | {"shown": "frame"}),
        "mouth": run(mouth.measure_mouth, params.mouth, "mouth", {}),
        "search": run(search.search_video, detection, "found", {}),
        "faces": run(faces.find_faces, params.faces, "a", {"subjects": {"a": {}}}),
        "folds": lambda unit, _: [
            next(pictures.batches(view.picture[:1], lambda _, image: image, 1))
            for pictures, view in finetune_folds._tracks(
                Unit("a", {"faces/a": unit.reads["faces"]}, {}, {"train": ["a"], "backbone": "b"}),
                params.finetune,
            )
        ],
    }


def peak_bytes(call: Callable[[], Any]) -> int:
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("stage", ["embed", "embed of frames", "mouth", "search", "faces", "folds"])
def test_memory_doesn_t_grow_with_the_track(stages: Any, tmp_path: Path, stage: str) -> None:
    short, long = lay(tmp_path / "short", FEW), lay(tmp_path / "long", MANY)
    stages[stage](short, tmp_path / "first")  # imports
    few = peak_bytes(lambda: stages[stage](short, tmp_path / "few"))
    many = peak_bytes(lambda: stages[stage](long, tmp_path / "many"))
    size = (tmp_path / "long/faces.h5").stat().st_size - (tmp_path / "short/faces.h5").stat().st_size
    assert size > 2 * GROWTH_BYTES, "the test can tell"
    assert many - few < GROWTH_BYTES


def test_a_spool_gives_the_bytes_that_an_array_gives(tmp_path: Path) -> None:
    shown = list(pictures(3))
    blob, offset = pack_jpegs(shown)
    rest = {"jpeg_offset": offset, "time_s": np.arange(3.0)}
    write_arrays(tmp_path / "array.h5", {"jpeg": blob, **rest}, fps_hz=FPS_HZ)
    with Spool(tmp_path / "folder") as spool:
        assert np.array_equal(spool_jpegs(shown, spool.write), offset)
        write_arrays(tmp_path / "folder/spool.h5", {"jpeg": spool, **rest}, fps_hz=FPS_HZ)
    assert (tmp_path / "folder/spool.h5").read_bytes() == (tmp_path / "array.h5").read_bytes()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["spool.h5"]


@pytest.mark.parametrize("size", [0, 1, (1 << 22) - 1, 1 << 22, (1 << 22) + 1])
def test_a_spool_of_any_size(tmp_path: Path, size: int) -> None:
    data = np.random.default_rng(0).integers(0, 255, size, np.uint8)
    with Spool(tmp_path) as spool:
        spool.write(data.tobytes())
        write_arrays(tmp_path / "a.h5", {"bytes": spool})
    assert np.array_equal(read_arrays(tmp_path / "a.h5")["bytes"], data)
    with open_arrays(tmp_path / "a.h5") as file:
        assert file["bytes"].dtype == np.uint8
