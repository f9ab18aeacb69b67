"""Find the target person's face in every frame: detection, track, crops, masks.

    python -m stages.faces          (dvc repro faces)

Reads   data/decode/<video>.h5      frames
Writes  data/faces/<subject>.h5     box_xyxy (T, 4) float32 pixels of the decoded frame, score (T,), both NaN
                                    without a face; detected (T,) bool; jpeg, jpeg_offset: the crops;
                                    crop_index (T,): the crop that stands for each frame, the last one where
                                    the face is missing, -1 (black) before the first; faces_in_frame (T,)
                                    int32, whoever they are; time_s (T,); fps_hz
Params  faces

Paper, section 4.2.2: RetinaFace (MobileNet-0.25), 15 px margin. Faces are found once per video, also for the
two people of a `_left` / `_right` pair.
"""

from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Image, Integers
from stages.core.artefacts import read_arrays, read_facts, write_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.detectors import DETECTORS
from stages.core.notes import Note
from stages.core.params import FacesParams, load_params
from stages.core.weights import PRETRAINED, find_weights
from stages.engine.prefetch import decoding_threads, prefetch_batches
from stages.engine.stage import Stage, Unit, main
from stages.media.jpeg import Blob, pack_jpegs, unpack_jpeg
from stages.vision.crops import crop_face, reuse_last
from stages.vision.detection import Detections, FaceDetector
from stages.vision.detectors import detector_of, device_of
from stages.vision.tracks import Track, follow_target

BATCHES_AT_A_TIME = 4


def detect_frames(
    detector: FaceDetector, device: str, jpeg: Blob, jpeg_offset: Integers, steps: range, batch_size: int
) -> list[Detections]:
    """The faces in some of a video's frames; while one portion is searched, the next is decoded."""

    def show(k: int) -> Image:
        return unpack_jpeg(jpeg, jpeg_offset, steps[k])

    portions = prefetch_batches(show, len(steps), BATCHES_AT_A_TIME * batch_size, decoding_threads(device))
    return [faces for images in portions for faces in detector.detect(images)]


def find_faces(unit: Unit, settings: FacesParams) -> list[Note]:
    """Detect all faces of one video, then follow each of its subjects."""
    video = unit.reads["frames"]
    frames, facts = read_arrays(video, "jpeg", "jpeg_offset", "time_s"), read_facts(video)
    weights = str(unit.reads["weights"]) if "weights" in unit.reads else None
    device = device_of(settings.detector)
    detector = detector_of(settings, weights)
    found = detect_frames(
        detector,
        device,
        frames["jpeg"],
        frames["jpeg_offset"],
        range(len(frames["time_s"])),
        settings.batch_size,
    )
    notes: list[Note] = []
    for subject, side in unit.facts["sides"].items():
        track = follow_target(
            found,
            frames["time_s"],
            facts["width"],
            side,
            jump_widths=settings.max_jump_widths,
            jump_s=settings.max_jump_s,
            reacquire_s=settings.reacquire_s,
        )
        _write(unit.writes[subject], frames, facts, track, [len(faces) for faces in found], settings)
        if not track.detected.any():
            problem = f"no face of {subject} in any of {len(found)} frames"
            notes.append(unit.warn(video, problem, "Look at the video; its traces mean nothing"))
    return notes


def _write(
    path: Path,
    frames: dict[str, Any],
    facts: dict[str, Any],
    track: Track,
    faces_in_frame: list[int],
    settings: FacesParams,
) -> None:
    crops = (
        crop_face(
            unpack_jpeg(frames["jpeg"], frames["jpeg_offset"], k),
            track.box_xyxy[k],
            settings.pad_px,
            facts["scale"],
        )
        for k in track.detected.nonzero()[0]
    )
    jpeg, offset = pack_jpegs(crops, settings.jpeg_quality)
    write_arrays(
        path,
        {
            "box_xyxy": track.box_xyxy,
            "score": track.score,
            "detected": track.detected,
            "jpeg": jpeg,
            "jpeg_offset": offset,
            "crop_index": reuse_last(track.detected),
            "faces_in_frame": np.array(faces_in_frame, np.int32),
            "time_s": frames["time_s"],
        },
        fps_hz=facts["fps_hz"],
    )


def units(
    workspace: Workspace, corpus: Corpus, settings: FacesParams, pretrained: Path = PRETRAINED
) -> list[Unit]:
    """One unit per decoded video, with all subjects in it."""
    needed = DETECTORS[settings.detector].weights
    weights = {"weights": find_weights(needed, pretrained)} if needed else {}
    return [
        Unit(
            video,
            {"frames": workspace.artefact("decode", video)} | weights,
            {subject.name: workspace.artefact("faces", subject.name) for subject in corpus.in_video(video)},
            {"sides": {subject.name: subject.side for subject in corpus.in_video(video)}},
        )
        for video in sorted(corpus.videos)
        if workspace.artefact("decode", video).is_file()
    ]


def jobs_for(detector: str) -> int | None:
    """Worker processes: one where a GPU's batches are what is wanted, else as the parameters say.

    Two videos at a time with one thread each are faster than two threads on one: the network is small.
    """
    return 1 if device_of(detector) != "cpu" else None


def faces() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    with Stage("faces", workspace.folder("faces")) as stage:
        work = units(workspace, workspace.corpus(), params.faces)
        stage.run(
            find_faces, work, params.faces, jobs=jobs_for(params.faces.detector), compute=params.compute
        )


if __name__ == "__main__":
    main("faces")
