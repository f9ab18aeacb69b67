"""One recording through the stages: the functions that trained the system are the ones that apply it.

The recording gets a private workspace and is the only subject of a corpus of its own. Its stage units run in
the order of dvc.yaml, without the memo; each list of units is made when the steps before it are done.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel

from stages import (
    decode,
    embed,
    faces,
    fuse,
    index,
    mouth,
    predict,
    predict_cross_attention,
    smooth,
    speech,
    voice,
)
from stages.core.arrays import Flags, Floats, Integers
from stages.core.artefacts import read_arrays, read_facts
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import BadInput
from stages.core.notes import Note
from stages.core.params import FacesParams, Params
from stages.core.systems import FUSIONS, SYSTEMS
from stages.engine.advance import watched
from stages.engine.units import Unit, Work, do_unit
from stages.evaluation.difficulty import Seen
from stages.evaluation.sureness import Interval
from stages.layouts.listing import Found
from stages.vision.search import search_video
from valaro.recordings.kinds import lay_out_sound, stand_in_for_picture
from valaro.recordings.presence import EVERYONE, Company, company_of, nobody_there, notes_on
from valaro.recordings.trained import Trained, pretrained
from valaro.sources import Kind

RECORDING = "recording"  # the subject's name in the workspace: the file's own may be anything


class Step(NamedTuple):
    """Units of one stage, and the function that does them."""

    name: str
    work: Work
    units: list[Unit]
    settings: BaseModel | None = None


@dataclass(frozen=True)
class Findings:
    """What the system found in a recording.

    Args:
        time_s: (N,) native frame times.
        valence_arousal: (N, 2) float32, NaN where nobody is there.
        grid_time_s: (T,) times of the masks and boxes.
        detected: (T,) a face was found.
        speaking: (T,) the person speaks.
        box_xyxy: (T, 4) pixels of the upright native picture, NaN without a face.
        face_score: (T,) the detector's, NaN without a face.
        faces_in_frame: (T,) faces in the picture, whoever they are.
        facts: of the container: duration_s, width, height, average_rate_hz, has_audio …
        notes: of the stages, such as lost frames.
        every_frame: (N, 2), the values also where nobody is there.
        company: who else is in the picture; None of a sound.
        kind: of the recording; a sound file has no faces, a picture one frame.
        subject: name of this person's artefacts in the workspace.
        person: number of the person, "" where only one was asked for.
        interval: (N, 2, 2) low and high of valence, then of arousal; None where the system has none.
    """

    time_s: Floats
    valence_arousal: Floats
    grid_time_s: Floats
    detected: Flags
    speaking: Flags
    box_xyxy: Floats
    face_score: Floats
    faces_in_frame: Integers
    facts: dict[str, Any]
    notes: list[str]
    every_frame: Floats
    company: Company | None = None
    kind: Kind = "video"
    subject: str = RECORDING
    person: str = ""
    interval: Floats | None = None


DOUBTFUL_WIDTH, DOUBTFUL_SHARE = 1.0, 0.1
"""Width of the interval, of valence or arousal, from which on a value says little; how often, for a note."""


def _tell_nobody(_step: str, _share: float) -> None:
    """Default callback of a recording's progress: does nothing."""


def analyse(
    recording: Path,
    workspace: Workspace,
    trained: Trained,
    tell: Callable[[str, float], None] = _tell_nobody,
    kind: Kind = "video",
    *,
    person: str | None = None,
    hold: bool = False,
) -> list[Findings]:
    """Run every step on one recording.

    Args:
        recording: the file.
        workspace: an empty one; everything in between lands there.
        trained: the system; of a sound file one that only listens, see `trained.for_kind`.
        tell: told the name of each step as it begins, and what share of it is done (0 to 1) as it goes on.
        kind: what the file is.
        person: who, as `faces.target` takes it; `all`: everyone who lasts; None: as in the parameters.
        hold: keep values where nobody is there: the model's estimate of the last face.

    Returns:
        One, or with `all` one per person, the most prominent first.

    Raises:
        BadInput: the file can't be used, shows no face or not the person, or has no sound where the system
            (`audio`, `cross_attention`) needs some.
    """
    trained = _aiming_at(trained, person)
    notes: list[Note] = []
    subjects: list[str] = []
    try:
        for step in _begin(recording, workspace, trained, kind, subjects, everyone=person == EVERYONE):
            tell(step.name, 0.0)
            for unit in step.units:
                with watched(partial(tell, step.name)):
                    notes += do_unit(step.work, unit, step.settings)
    except BadInput as error:
        if workspace.root not in Path(error.file).parents:
            raise
        # That file is nothing to the user.
        raise BadInput(recording, error.problem, error.remedy) from error
    several = person == EVERYONE and kind != "sound"
    return [
        _gather(
            recording, workspace, trained, notes, kind, subject, str(number) if several else "", hold=hold
        )
        for number, subject in enumerate(subjects or [RECORDING], start=1)
    ]


def _of_several(picture: Path) -> list[str]:
    """A note on the file of a picture that holds several."""
    from stages.media.still import pictures_in

    several = pictures_in(picture)
    note = f"it holds {several} pictures, of which the first was looked at: make a video of them for all"
    return [note] if several > 1 else []


def _aiming_at(trained: Trained, person: str | None) -> Trained:
    """The system with another person as its target."""
    if person is None or person == EVERYONE:
        return trained
    target = int(person) if person.isdecimal() else person
    faces = FacesParams.model_validate(trained.params.faces.model_dump() | {"target": target})
    return replace(trained, params=trained.params.model_copy(update={"faces": faces}))


def _begin(
    recording: Path,
    workspace: Workspace,
    trained: Trained,
    kind: Kind,
    subjects: list[str],
    *,
    everyone: bool,
) -> Iterator[Step]:
    """The steps that this kind of recording goes through, once it is laid out for them."""
    limits = trained.params.decode
    if kind == "sound":
        lay_out_sound(recording, workspace, limits, RECORDING)
        return _steps_of_sound(recording, workspace, trained)
    video = stand_in_for_picture(recording, workspace, limits) if kind == "picture" else recording
    return _steps(video, workspace, trained, subjects, everyone=everyone)


def _steps(
    video: Path, workspace: Workspace, trained: Trained, subjects: list[str], *, everyone: bool
) -> Iterator[Step]:
    """Every step in turn; fills `subjects`, one per person, once the faces are found."""
    params, models = trained.params, trained.models
    whole = Subject(RECORDING, RECORDING, None, "test")
    corpus = Corpus([whole], {RECORDING: str(video)})
    found = Found(whole, video, None)
    yield Step("index", index.index_subject, [index.unit_of(found, workspace, params.decode)], params.index)
    yield Step("decode", decode.decode_video, decode.units(workspace, corpus), params.decode)
    searches = faces.search_units(workspace, corpus, params.faces, pretrained(models))
    yield Step("faces", search_video, searches, params.faces.detection())
    targets = _people(workspace, params.faces) if everyone else {}
    subjects += list(targets) or [RECORDING]
    corpus = Corpus([Subject(name, RECORDING, None, "test") for name in subjects], corpus.videos)
    yield Step("tracks", faces.find_faces, faces.units(workspace, corpus, targets), params.faces)
    _require_a_face(workspace, subjects[0])
    yield Step("mouth", mouth.measure_mouth, mouth.units(workspace, corpus), params.mouth)
    yield Step("speech", speech.find_speech, speech.units(workspace, corpus), params.speech)
    yield from _predictions(workspace, trained, corpus)
    yield Step("smooth", smooth.smooth_subject, smooth.units(workspace, corpus), params.smooth)
    if trained.system in FUSIONS:
        fused = fuse.applying_units(workspace, models, corpus.subjects, trained.system)
        yield Step("fuse", fuse.apply_fusion, fused)


def _people(workspace: Workspace, settings: FacesParams) -> dict[str, int]:
    """Everyone who lasts, a name and a number each; each gets the recording's own index."""
    found = workspace.artefact(faces.FOUND, RECORDING)
    targets = {f"{RECORDING}-{k}": k for k in range(1, faces.count_people(found, settings) + 1)}
    for name in targets:
        shutil.copyfile(workspace.artefact("index", RECORDING), workspace.artefact("index", name))
    return targets


def step_names(trained: Trained) -> list[str]:
    """The steps that `analyse` reports for a video, in order; the writing of results comes after."""
    seen = ["embed"] if any(SYSTEMS[system].sees for system in trained.systems) else []
    heard = ["voice"] if any(SYSTEMS[system].hears for system in trained.systems) else []
    fused = ["fuse"] if trained.system in FUSIONS else []
    return [
        "index",
        "decode",
        "faces",
        "tracks",
        "mouth",
        "speech",
        *seen,
        *heard,
        *trained.systems,
        "smooth",
        *fused,
    ]


def _predictions(workspace: Workspace, trained: Trained, corpus: Corpus) -> Iterator[Step]:
    """The systems that are needed, after what they look at and listen to."""
    params, models = trained.params, trained.models
    if any(SYSTEMS[system].sees for system in trained.systems):
        embedding = embed.units(workspace, models, corpus, params.embed, params.compute)
        yield Step("embed", embed.embed_subject, embedding, params.embed)
    if any(SYSTEMS[system].hears for system in trained.systems):
        voice_units = voice.units(
            workspace,
            corpus,
            params.voice,
            params.compute,
            pretrained(models),
            max_samples=params.decode.max_audio_samples,
        )
        yield Step("voice", voice.take_voice, voice_units, params.voice)
    for system in trained.systems:
        work, units_of = PREDICTORS[system]
        yield Step(system, work, units_of(workspace, models, corpus.subjects, params))


class Predictor(NamedTuple):
    """How a single system predicts: the function that does a unit, and what lists the units."""

    work: Work
    units: Callable[[Workspace, Workspace, list[Subject], Params], list[Unit]]


PREDICTORS: Mapping[str, Predictor] = {
    "static": Predictor(
        predict.predict_static,
        lambda workspace, models, subjects, params: predict.static_units(
            workspace, models, subjects, params.embed.backbone
        ),
    ),
    "dynamic": Predictor(
        predict.predict_dynamic,
        lambda workspace, models, subjects, params: predict.dynamic_units(
            workspace, models, subjects, params.compute
        ),
    ),
    "kelm": Predictor(
        predict.predict_kelm,
        lambda workspace, models, subjects, params: predict.kelm_units(
            workspace, models, subjects, params.kelm.functionals
        ),
    ),
    "audio": Predictor(
        predict.predict_audio,
        lambda workspace, models, subjects, params: predict.audio_units(
            workspace, models, subjects, params.audio.version, params.compute
        ),
    ),
    "cross_attention": Predictor(
        predict_cross_attention.predict_subject,
        lambda workspace, models, subjects, params: predict_cross_attention.units(
            workspace, models, subjects, params.compute
        ),
    ),
}
"""One for each system of `stages.core.systems.SYSTEMS`."""


def _steps_of_sound(sound: Path, workspace: Workspace, trained: Trained) -> Iterator[Step]:
    """The systems for a file without pictures: those that use sound only."""
    params = trained.params
    corpus = Corpus([Subject(RECORDING, RECORDING, None, "test")], {RECORDING: str(sound)})
    yield Step("speech", speech.find_speech, speech.units(workspace, corpus), params.speech)
    yield from _predictions(workspace, trained, corpus)
    yield Step("smooth", smooth.smooth_subject, smooth.units(workspace, corpus), params.smooth)


def _require_a_face(workspace: Workspace, subject: str) -> None:
    faces_found = workspace.artefact("faces", subject)
    detected = read_arrays(faces_found, "detected")["detected"]
    if not detected.any():
        problem = f"no face in any of the {len(detected)} frames looked at"
        raise BadInput(faces_found, problem, "Try another --detector, or a video in which the face is larger")


def _gather(
    recording: Path,
    workspace: Workspace,
    trained: Trained,
    notes: list[Note],
    kind: Kind,
    subject: str,
    person: str,
    *,
    hold: bool,
) -> Findings:
    place = "fused" if trained.system in FUSIONS else "traces"
    trace = workspace.artefact(f"{place}/{trained.system}", subject)
    if not trace.is_file():
        raise BadInput(recording, f"no sound, and {trained.system} needs it", "Choose another --system")
    found = read_arrays(trace, "time_s", "valence_arousal")
    own = workspace.artefact("faces", subject)
    seen = read_arrays(own, "time_s", "detected", "box_xyxy", "score", "faces_in_frame")
    words = list(dict.fromkeys(note.problem for note in notes)) if kind == "video" else []
    if kind == "picture":
        words += _of_several(recording)
    valued, company = found["valence_arousal"].copy(), None
    interval = _interval(workspace, trained, subject, trace, found, kind)
    if kind != "sound":
        company = company_of(own, workspace.artefact(faces.TRACKS, RECORDING))
        alone = kind == "picture"
        words += notes_on(company, seen["detected"], picture=alone, everyone=bool(person))
    if kind == "video":
        gap_s = trained.params.predict.max_gap_s
        if not hold and gap_s is not None:
            nobody = nobody_there(found["time_s"], seen["time_s"], seen["detected"], gap_s)
            valued[nobody] = np.nan
            if interval is not None:
                interval[nobody] = np.nan
    words += [] if trained.interval else doubtful(interval)
    return Findings(
        time_s=found["time_s"],
        valence_arousal=valued,
        grid_time_s=seen["time_s"],
        detected=seen["detected"],
        speaking=read_arrays(workspace.artefact("speech", subject), "speaking")["speaking"],
        box_xyxy=seen["box_xyxy"] / read_facts(workspace.artefact("decode", RECORDING))["scale"],
        face_score=seen["score"],
        faces_in_frame=seen["faces_in_frame"],
        facts=read_facts(workspace.artefact("index", RECORDING)),
        notes=words,
        every_frame=found["valence_arousal"],
        company=company,
        kind=kind,
        subject=subject,
        person=person,
        interval=interval,
    )


def _seen(workspace: Workspace, trace: Path, subject: str, interval: Interval) -> Seen:
    """What the interval looks at."""
    speech, embeddings = (workspace.artefact(stage, subject) for stage in ("speech", "embeddings"))
    others = {name: workspace.artefact(f"traces/{name}", subject) for name in interval.others}
    return Seen(
        workspace.artefact("faces", subject),
        speech if speech.is_file() else None,
        embeddings if embeddings.is_file() else None,
        trace,
        {name: path for name, path in others.items() if path.is_file()},
    )


def _interval(
    workspace: Workspace, trained: Trained, subject: str, trace: Path, found: Mapping[str, Any], kind: Kind
) -> Floats | None:
    """Low and high around a trace, frame by frame: what training calibrated, or what a static model brings.

    Shape: -> (N, 2, 2).
    """
    if kind == "video" and trained.interval:
        return trained.interval.around(_seen(workspace, trace, subject, trained.interval))
    predictions = workspace.artefact(f"predictions/{trained.system}", subject)
    said = read_arrays(predictions) if predictions.is_file() else {}
    if "half_width" not in said:
        return None
    columns = [np.interp(found["time_s"], said["time_s"], column) for column in said["half_width"].T]
    half, values = np.column_stack(columns), found["valence_arousal"]
    interval: Floats = np.clip(np.stack([values - half, values + half], axis=2), -1, 1)
    return interval


def doubtful(interval: Floats | None) -> list[str]:
    """A note where much of a trace is hardly known: of what has a value. Shape: (N, 2, 2), NaN without."""
    if interval is None:
        return []
    width = (interval[:, :, 1] - interval[:, :, 0]).max(axis=1)
    valued = np.isfinite(width)
    share = float(np.mean(width[valued] >= DOUBTFUL_WIDTH)) if valued.any() else 0.0
    if share < DOUBTFUL_SHARE:
        return []
    where = "of the frames" if valued.all() else "of the frames with a value"
    return [f"doubtful in {share:.0%} {where}: the face is small, turned or unlike those learnt from"]
