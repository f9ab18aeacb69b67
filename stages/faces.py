"""Find all faces of every video, then the target person's: detection, track, crops, masks.

    python -m stages.faces          (dvc repro faces)

Reads   data/decode/<video>.h5          the grid; frames, where decode kept them
        the videos                      frames, where it didn't
        data/index/                     sides, siblings, and when subjects with a side are labelled
Writes  data/faces/found/<video>.h5     every face: box_xyxy (F, 4) float32 pixels of the decoded frame,
                                        score (F,), step (F,) ascending, patch (F, 16, 16) uint8 grey;
                                        turned (F,), see `vision.detection`, NaN where it isn't known;
                                        change (T,) of the picture against the step before; time_s (T,);
                                        frame_time_s (T,) of the native frame really shown
        data/faces/tracks/<video>.h5    track (F,) and person (F,) of each of those faces, -1 for a
                                        face seen too briefly; of each person, the most prominent first:
                                        seen_s, width_px, motion, weight (P,), centre_xy (P, 2) as
                                        shares of the picture;
                                        step (F,), cut (T,), time_s (T,)
        data/faces/<subject>.h5         box_xyxy (T, 4), score, turned (T,), NaN without a face; detected (T,)
                                        bool; jump (T,) bool: from here on it may be someone else's face;
                                        others (T,) uint8: faces of other people; jpeg, jpeg_offset: crops;
                                        crop_index (T,): the crop that stands for each frame, the last one
                                        where the face is missing, -1 (black) before the first;
                                        faces_in_frame (T,) int32, whoever they are; time_s (T,); fps_hz
Params  faces, index.on_bad_input

Paper, section 4.2.2: RetinaFace (MobileNet-0.25), 15 px margin. Faces are searched once per video, whosever
they are: choosing another person (`faces.target`) searches nothing again. The search cuts the crops of all
faces while it has the frames, and keeps them for the step that follows the people: no video is decoded twice
in a run. Where a search is remembered, the crops are cut from the video in one pass for all of its subjects.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Flags, Floats, Image, Integers
from stages.core.artefacts import PARTIAL, Arrays, Spool, read_facts, remove, write_arrays
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.detectors import DETECTORS
from stages.core.errors import BadInput
from stages.core.notes import Note
from stages.core.params import ComputeParams, FacesParams, load_params
from stages.core.weights import PRETRAINED, find_weights
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.media.jpeg import encode_jpeg
from stages.media.pictures import frame_files, open_pictures
from stages.vision.crops import crop_face, reuse_last
from stages.vision.detectors import device_of
from stages.vision.found import read_found
from stages.vision.people import FacePath, Linked, Rules, link_faces, people_of
from stages.vision.search import Cuts, read_crops, search_video
from stages.vision.targets import NoSuchPerson, Wanted, choose
from stages.vision.tracks import Track

FOUND, TRACKS = "faces/found", "faces/tracks"
CROPS = f"{PARTIAL}crops"
"""Below FOUND: where a search leaves the crops of all faces until people are followed."""
ALL = "/tracks"  # a role that no subject's name can be


def find_faces(unit: Unit, settings: FacesParams) -> list[Note]:
    """Link one video's faces to people, and follow each of its subjects."""
    faces, arrays = read_found(unit.reads["found"])
    rules = rules_of(settings).in_all_of(faces)
    linked = link_faces(faces, rules)
    _write_tracks(unit.writes[ALL], linked, arrays["step"], rules)
    wanted = {name: _wanted(facts) for name, facts in unit.facts["subjects"].items()}
    try:
        paths = choose(linked, wanted, settings.target, rules)
    except NoSuchPerson as error:
        raise BadInput(unit.reads["frames"], str(error), "Choose another person") from None
    _write_subjects(unit, linked, arrays, paths, settings, rules)
    notes: list[Note] = []
    for subject, path in paths.items():
        if not (path.face >= 0).any():
            problem = f"no face of {subject} in any of {len(path.face)} frames"
            notes.append(
                unit.warn(unit.reads["frames"], problem, "Look at the video; its traces mean nothing")
            )
    return notes


def rules_of(settings: FacesParams) -> Rules:
    """How far and after how long a face is still the same person."""
    return Rules(
        jump_widths=settings.max_jump_widths,
        jump_s=settings.max_jump_s,
        reacquire_s=settings.reacquire_s,
        min_motion=settings.min_motion,
        min_seen_s=settings.min_seen_s,
    )


def count_people(found: Path, settings: FacesParams) -> int:
    """How many people a video shows for at least `faces.min_seen_s`, a short one for half of it."""
    faces = read_found(found)[0]
    rules = rules_of(settings).in_all_of(faces)
    return len(people_of(link_faces(faces, rules), rules))


def _wanted(facts: dict[str, Any]) -> Wanted:
    return Wanted(
        side=facts.get("side"),
        labelled_s=np.array(facts.get("labelled_s", []), float).reshape(-1, 2),
        anywhere=facts.get("anywhere", False),
        leaves_out={name: _wanted(sibling) for name, sibling in facts.get("leaves_out", {}).items()},
        target=facts.get("target"),
    )


def _write_tracks(path: Path, linked: Linked, step: Any, rules: Rules) -> None:
    people = people_of(linked, rules)
    person = [np.full(len(tracks), -1, np.int64) for tracks in linked.track]
    for number, one in enumerate(people):
        for k in np.flatnonzero(one.path.face >= 0):
            person[k][one.path.face[k]] = number
    write_arrays(
        path,
        {
            "track": np.concatenate([np.empty(0, np.int64), *linked.track]),
            "person": np.concatenate([np.empty(0, np.int64), *person]),
            "step": step,
            "seen_s": np.array([one.seen_s for one in people]),
            "width_px": np.array([one.width_px for one in people]),
            "motion": np.array([one.motion for one in people]),
            "weight": np.array([one.weight for one in people]),
            "centre_xy": np.array([one.centre_xy for one in people]).reshape(-1, 2),
            "cut": linked.faces.cut,
            "time_s": linked.faces.time_s,
        },
    )


def _of_path(values: Floats, step: Integers, path: FacePath) -> Floats:
    """What is known of all faces, at one person's; NaN where the face is missing. (F,), (F,) -> (T,)."""
    first = np.searchsorted(step, np.arange(len(path.face)))
    seen, along = path.face >= 0, np.full(len(path.face), np.nan, np.float32)
    along[seen] = values[first[seen] + path.face[seen]]
    return along


def _write_subjects(
    unit: Unit,
    linked: Linked,
    found: Arrays,
    paths: Mapping[str, FacePath],
    settings: FacesParams,
    rules: Rules,
) -> None:
    """Every subject's track and crops; their frames are gone through once, for all of them."""
    tracks = {subject: path.track(linked.faces) for subject, path in paths.items()}
    fps_hz = read_facts(unit.reads["frames"])["fps_hz"]
    with ExitStack() as stack:
        spools = {subject: stack.enter_context(Spool(unit.writes[subject].parent)) for subject in paths}
        offsets: dict[str, list[int]] = {subject: [0] for subject in paths}
        for subject, crop in _crops(unit, tracks, paths, found, settings):
            spools[subject].write(crop)
            offsets[subject].append(offsets[subject][-1] + len(crop))
        for subject, path in paths.items():
            track = tracks[subject]
            write_arrays(
                unit.writes[subject],
                {
                    "box_xyxy": track.box_xyxy,
                    "score": track.score,
                    "turned": _of_path(found["turned"], found["step"], path),
                    "detected": track.detected,
                    "jump": path.jump,
                    "others": _others(linked, path, rules.min_seen_s),
                    "jpeg": spools[subject],
                    "jpeg_offset": np.array(offsets[subject], np.int64),
                    "crop_index": reuse_last(track.detected),
                    "faces_in_frame": np.array([len(step) for step in linked.faces.steps], np.int32),
                    "time_s": linked.faces.time_s,
                },
                fps_hz=fps_hz,
                unsure_score=DETECTORS[settings.detector].unsure_score,
                sure_score=DETECTORS[settings.detector].sure_score,
            )
    if unit.unkeyed:
        remove(Path(unit.unkeyed["crops"]))


def _crops(
    unit: Unit,
    tracks: Mapping[str, Track],
    paths: Mapping[str, FacePath],
    found: Arrays,
    settings: FacesParams,
) -> Iterator[tuple[str, bytes]]:
    """Subject and JPEG of every step at which one is seen, each subject's in the order of the steps."""
    cuts = Cuts(settings.pad_px, settings.jpeg_quality)
    wanted = {subject: track.detected.nonzero()[0] for subject, track in tracks.items()}
    faces = {
        subject: np.searchsorted(found["step"], steps) + paths[subject].face[steps]
        for subject, steps in wanted.items()
    }
    if unit.unkeyed and (left := read_crops(Path(unit.unkeyed["crops"]), found, cuts)):
        with left as crops:
            for subject, numbers in faces.items():
                yield from ((subject, crops[int(number)]) for number in numbers)
        return
    yield from _cut(unit, tracks, wanted, cuts)


def _cut(
    unit: Unit, tracks: Mapping[str, Track], wanted: Mapping[str, Integers], cuts: Cuts
) -> Iterator[tuple[str, bytes]]:
    """The same from the frames, in one pass over those that show anyone."""
    scale = read_facts(unit.reads["frames"])["scale"]
    steps = np.unique(np.concatenate([np.empty(0, np.int64), *wanted.values()]))

    def cut(place: int, image: Image | None) -> list[tuple[str, bytes]]:
        k = steps[place]
        shown = {subject: track for subject, track in tracks.items() if track.detected[k]}
        return [
            (subject, encode_jpeg(crop_face(image, track.box_xyxy[k], cuts.pad_px, scale), cuts.jpeg_quality))
            for subject, track in shown.items()
            if image is not None
        ]

    with open_pictures(unit.reads["frames"], unit.reads.get("video")) as pictures:
        for batch in pictures.batches(steps, cut, 1):
            for crops in batch:
                yield from crops


def _others(linked: Linked, chosen: FacePath, min_seen_s: float) -> Any:
    """How many faces of other people are in each step: of tracks that last. -> (T,) uint8."""
    least = min_seen_s / max(linked.faces.step_s, 1e-9) - 1e-6
    lasting = np.array(sorted(t for t, steps in linked.steps_of.items() if len(steps) >= least), np.int64)
    counts = np.zeros(len(linked.track), np.uint8)
    for k, tracks in enumerate(linked.track):
        other: Flags = np.isin(tracks, lasting)
        if chosen.face[k] >= 0:
            other[chosen.face[k]] = False
        counts[k] = min(255, int(other.sum()))
    return counts


def search_units(
    workspace: Workspace, corpus: Corpus, settings: FacesParams, pretrained: Path = PRETRAINED
) -> list[Unit]:
    """One unit per decoded video; each leaves the crops of all faces for the unit of `units`."""
    needed = DETECTORS[settings.detector].weights
    weights = {"weights": find_weights(needed, pretrained)} if needed else {}
    return [
        Unit(
            video,
            frame_files(workspace, corpus, video) | weights,
            {"found": workspace.artefact(FOUND, video)},
            unkeyed=_left(workspace, video) | Cuts(settings.pad_px, settings.jpeg_quality)._asdict(),
        )
        for video in sorted(corpus.videos)
        if workspace.artefact("decode", video).is_file()
    ]


def units(workspace: Workspace, corpus: Corpus, targets: dict[str, int] | None = None) -> list[Unit]:
    """One unit per searched video, with all subjects in it.

    Args:
        workspace: where the searched videos lie.
        corpus: its videos and subjects.
        targets: people by their number, for subjects that are not to be chosen by `faces.target`.
    """
    return [
        Unit(
            video,
            frame_files(workspace, corpus, video) | {"found": workspace.artefact(FOUND, video)},
            {subject.name: workspace.artefact("faces", subject.name) for subject in corpus.in_video(video)}
            | {ALL: workspace.artefact(TRACKS, video)},
            {
                "subjects": {
                    subject.name: _facts(workspace, corpus, subject, (targets or {}).get(subject.name))
                    for subject in corpus.in_video(video)
                }
            },
            unkeyed=_left(workspace, video),
        )
        for video in sorted(corpus.videos)
        if workspace.artefact(FOUND, video).is_file()
    ]


def _left(workspace: Workspace, video: str) -> dict[str, str]:
    return {"crops": str(workspace.folder(FOUND, CROPS, f"{video}.h5"))}


def _facts(workspace: Workspace, corpus: Corpus, subject: Subject, target: int | None) -> dict[str, Any]:
    """What decides a subject's face, as JSON; only what differs from the rule."""
    facts: dict[str, Any] = {"target": target} if target else {}
    if subject.side:
        facts |= {"side": subject.side, "anywhere": subject.has_own_video}
        facts["labelled_s"] = workspace.labelled_spans_s(subject.name).round(6).tolist()
    if siblings := corpus.sides_left_out(subject):
        facts["leaves_out"] = {
            name: {"side": side, "labelled_s": workspace.labelled_spans_s(name).round(6).tolist()}
            for name, side in siblings.items()
        }
    return facts


def jobs_for(detector: str) -> int | None:
    """Worker processes: one where a GPU's batches are what is wanted, else as the parameters say.

    Two videos at a time with one thread each are faster than two threads on one: the network is small.
    """
    return 1 if device_of(detector) != "cpu" else None


def run(
    stage: Stage,
    workspace: Workspace,
    corpus: Corpus,
    settings: FacesParams,
    compute: ComputeParams,
    pretrained: Path = PRETRAINED,
) -> None:
    """Search every video of a corpus, then follow its subjects."""
    searches, jobs = search_units(workspace, corpus, settings, pretrained), jobs_for(settings.detector)
    stage.run(search_video, searches, settings.detection(), jobs=jobs, compute=compute)
    chosen = settings.model_copy(update={"batch_size": 1})  # which decides nothing any more
    stage.run(find_faces, units(workspace, corpus), chosen, compute=compute)
    remove(workspace.folder(FOUND, CROPS))


def faces() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    strict = params.index.on_bad_input == "fail"
    with Stage("faces", workspace.folder("faces"), strict=strict) as stage:
        run(stage, workspace, workspace.corpus(), params.faces, params.compute)


if __name__ == "__main__":
    main("faces")
