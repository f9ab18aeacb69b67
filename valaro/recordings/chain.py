"""One recording through the stages: the functions that trained the system are the ones that apply it.

The recording gets a private workspace and is the only subject of a corpus of its own. Its stage units run in
the order of dvc.yaml, without the memo; each list of units is made when the steps before it are done.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

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
from stages.core.affwild2 import Found
from stages.core.arrays import Flags, Floats
from stages.core.artefacts import read_arrays, read_facts
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import BadInput
from stages.core.notes import Note
from stages.core.params import Params
from stages.core.systems import FUSIONS, SYSTEMS
from stages.engine.stage import Unit, Work, do_unit
from valaro.recordings.trained import Trained, pretrained

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
        valence_arousal: (N, 2) float32.
        grid_time_s: (T,) times of the masks and boxes.
        detected: (T,) a face was found.
        speaking: (T,) the person speaks.
        box_xyxy: (T, 4) pixels of the upright native picture, NaN without a face.
        facts: of the container: duration_s, width, height, average_rate_hz, has_audio …
        notes: what the stages had to say, such as lost frames.
    """

    time_s: Floats
    valence_arousal: Floats
    grid_time_s: Floats
    detected: Flags
    speaking: Flags
    box_xyxy: Floats
    facts: dict[str, Any]
    notes: list[str]


def analyse(
    video: Path, workspace: Workspace, trained: Trained, before_step: Callable[[str], None] = lambda _: None
) -> Findings:
    """Run every step on one video.

    Args:
        video: the file.
        workspace: an empty one; everything in between lands there.
        trained: the system.
        before_step: told the name of each step as it begins.

    Raises:
        BadInput: the file can't be used, shows no face, or has no sound where the system
            (`audio`, `cross_attention`) needs some.
    """
    notes: list[Note] = []
    for step in _steps(video, workspace, trained):
        before_step(step.name)
        for unit in step.units:
            try:
                notes += do_unit(step.work, unit, step.settings)
            except BadInput as error:
                if workspace.root not in Path(error.file).parents:
                    raise
                raise BadInput(
                    video, error.problem, error.remedy
                ) from error  # that file is nothing to the user
    return _gather(video, workspace, trained, notes)


def _steps(video: Path, workspace: Workspace, trained: Trained) -> Iterator[Step]:
    params, models = trained.params, trained.models
    subject = Subject(RECORDING, RECORDING, None, "test")
    corpus = Corpus([subject], {RECORDING: str(video)})
    found = Found(subject, video, None)
    yield Step("index", index.index_subject, [index.unit_of(found, workspace, params.decode)], params.index)
    yield Step("decode", decode.decode_video, decode.units(workspace, corpus), params.decode)
    face_units = faces.units(workspace, corpus, params.faces, pretrained(models))
    yield Step("faces", faces.find_faces, face_units, params.faces)
    _require_a_face(video, workspace)
    yield Step("mouth", mouth.measure_mouth, mouth.units(workspace, corpus), params.mouth)
    yield Step("speech", speech.find_speech, speech.units(workspace, corpus), params.speech)
    yield from _predictions(workspace, trained, corpus)
    yield Step("smooth", smooth.smooth_subject, smooth.units(workspace, corpus), params.smooth)
    if trained.system in FUSIONS:
        fused = fuse.applying_units(workspace, models, corpus.subjects, trained.system)
        yield Step("fuse", fuse.apply_fusion, fused)


def _predictions(workspace: Workspace, trained: Trained, corpus: Corpus) -> Iterator[Step]:
    """The systems that are needed, after what they look at and listen to."""
    params, models = trained.params, trained.models
    if any(SYSTEMS[system].sees for system in trained.systems):
        embedding = embed.units(workspace, models, corpus, params.embed)
        yield Step("embed", embed.embed_subject, embedding, params.embed)
    if any(SYSTEMS[system].hears for system in trained.systems):
        voice_units = voice.units(workspace, corpus, params.voice, pretrained(models))
        yield Step("voice", voice.take_voice, voice_units, params.voice)
    for system in trained.systems:
        work, units_of = PREDICTORS[system]
        yield Step(system, work, units_of(workspace, models, corpus.subjects, params))


class Predictor(NamedTuple):
    """How a single system predicts: the function that does a unit, and what lists the units."""

    work: Work
    units: Callable[[Workspace, Workspace, list[Subject], Params], list[Unit]]


PREDICTORS: Mapping[str, Predictor] = {
    "dynamic": Predictor(
        predict.predict_dynamic,
        lambda workspace, models, subjects, _: predict.dynamic_units(workspace, models, subjects),
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
            workspace, models, subjects, params.audio.version
        ),
    ),
    "cross_attention": Predictor(
        predict_cross_attention.predict_subject,
        lambda workspace, models, subjects, _: predict_cross_attention.units(workspace, models, subjects),
    ),
}
"""One for each system of `stages.core.systems.SYSTEMS`."""


def _require_a_face(video: Path, workspace: Workspace) -> None:
    detected = read_arrays(workspace.artefact("faces", RECORDING), "detected")["detected"]
    if not detected.any():
        problem = f"no face in any of the {len(detected)} frames looked at"
        raise BadInput(video, problem, "Try another --detector, or a video in which the face is larger")


def _gather(video: Path, workspace: Workspace, trained: Trained, notes: list[Note]) -> Findings:
    kind = "fused" if trained.system in FUSIONS else "traces"
    trace = workspace.artefact(f"{kind}/{trained.system}", RECORDING)
    if not trace.is_file():
        raise BadInput(
            video, f"no sound, and {trained.system} says nothing without", "Choose another --system"
        )
    found = read_arrays(trace, "time_s", "valence_arousal")
    faces_found = read_arrays(workspace.artefact("faces", RECORDING), "time_s", "detected", "box_xyxy")
    return Findings(
        time_s=found["time_s"],
        valence_arousal=found["valence_arousal"],
        grid_time_s=faces_found["time_s"],
        detected=faces_found["detected"],
        speaking=read_arrays(workspace.artefact("speech", RECORDING), "speaking")["speaking"],
        box_xyxy=faces_found["box_xyxy"] / read_facts(workspace.artefact("decode", RECORDING))["scale"],
        facts=read_facts(workspace.artefact("index", RECORDING)),
        notes=list(dict.fromkeys(note.problem for note in notes)),
    )
