"""The trained system that `valaro predict` applies: models, the parameters they go with, their origin."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stages.core.artefacts import read_header, read_json
from stages.core.corpus import Workspace, is_sample
from stages.core.detectors import DETECTORS
from stages.core.errors import BadInput, ValaroError
from stages.core.former_names import former_name, present_name
from stages.core.former_params import upgraded
from stages.core.params import PARAMS_FILE, FacesParams, Params, load_params
from stages.core.systems import FUSIONS, SYSTEMS, parts_of
from stages.core.untrained import Untrained, read_untrained
from stages.core.weights import find_weights
from stages.core.yaml_text import read_yaml
from stages.engine.fingerprint import ROOT, md5_of
from stages.evaluation.margins import FILE, Margin, read_margin
from stages.evaluation.sureness import FOLDER, LANDMARKS, Interval, read_interval
from stages.exports.origins import SAMPLE_NOTICE
from valaro.runs import listed, locked_stages, newer_than
from valaro.sources import Kind
from valaro.suggestions import unknown
from valaro.systems import BEST


@dataclass(frozen=True)
class ModelFolder(Workspace):
    """A workspace whose models lie in a folder of any name."""

    name: str = "models"

    def model(self, file: str) -> Path:
        """A trained model below the folder, also where an earlier version named the file otherwise."""
        path = self.root / self.name / file
        former = path.with_stem(former_name(path.stem))
        return former if former.is_file() and not path.is_file() else path


@dataclass(frozen=True)
class Trained:
    """What a recording goes through.

    Args:
        models: where the weights lie.
        params: the parameters of every step.
        system: the system, or fusion of systems, that gives the trace.
        corpus: the corpus it learnt from.
        notice: a sentence that every output must carry; "" for none.
        notes: what is odd about it.
        models_md5: hash of every model file in use, by its path below the folder.
        margin: how far the truth lies from its traces; None where it isn't measured.
        interval: the same frame by frame, wide where the system is unsure; None without.
    """

    models: Workspace
    params: Params
    system: str
    corpus: str
    notice: str
    notes: tuple[str, ...]
    models_md5: dict[str, str]
    margin: Margin | None = None
    interval: Interval | None = None

    @property
    def systems(self) -> tuple[str, ...]:
        """The single systems that must run."""
        return parts_of(self.system)

    def hearing(self, track: int | None) -> "Trained":
        """The same system with another choice of the audio track; None leaves it as it is."""
        if track is None:
            return self
        decode = self.params.decode.model_copy(update={"audio_track": track})
        return replace(self, params=self.params.model_copy(update={"decode": decode}))

    def facts(self) -> dict[str, Any]:
        """What tells this system from another: JSON for the summary."""
        detector = self.params.faces.detector
        identity = {"system": self.system, "trained_on": self.corpus, "models_md5": self.models_md5}
        return identity | {"detector": detector}


def find_trained(folder: Path, system: str = BEST, detector: str | None = None) -> Trained:
    """The trained system in a folder of models; its params.yaml and metrics/ lie beside that folder.

    Args:
        folder: with static/, dynamic/ …, as `dvc repro` leaves them.
        system: one of SYSTEMS or FUSIONS, or `best`, by the out-of-fold figure of the evaluation.
        detector: a face detector other than the one of the parameters.

    Raises:
        ValaroError: something is missing; the message says what, and how to get it.
    """
    folder = folder.absolute()
    if (folder / PARAMS_FILE).is_file() or (folder / "models").is_dir():
        folder = folder / "models"  # the system's own folder was named
    models = ModelFolder(folder.parent, folder.name)
    if not folder.is_dir():
        raise ValaroError(f"{folder}: no such folder of models. {_REMEDY}")
    params = load_params(models.root / PARAMS_FILE)
    faces, notes = _faces(params.faces, detector)
    other_faces = bool(notes)  # the margin was measured with those of the parameters
    if needed := DETECTORS[faces.detector].weights:
        find_weights(needed, pretrained(models))  # now, and not after the first video is decoded
    corpus, now = corpus_of(folder) or params.index.corpus, params.index.corpus
    if corpus != now:
        notes.append(f"the models learnt from {corpus}, params.yaml now names {now}: run `make repro`")
    if old := upgraded(read_yaml(models.root / PARAMS_FILE)).added:
        notes.append(
            f"params.yaml is from an earlier version; the {len(old)} parameters it lacks keep that version's "
            "behaviour"
        )
    system = _resolve(present_name(system), models)
    interval = None if other_faces else read_interval(models.model(FOLDER), system)
    files = [*model_files(system, params), *(interval_files(system) if interval else ())]
    models_md5 = {name: _md5(models.model(name), system) for name in files}
    if lack := lack_of(system, models, params):
        raise ValaroError(f"{folder}: the system {system} isn't trained: {lack} Or choose another system.")
    if newer := newer_than(locked_stages(models.root), [f"{folder.name}/{name}" for name in files]):
        ran = f"{listed(newer)} ran again, and what follows didn't"
        notes.append(f"the models don't belong together: {ran}: run `dvc repro`")
    return Trained(
        models=models,
        params=params.model_copy(update={"faces": faces}),
        system=system,
        corpus=corpus,
        notice=_notice(folder, corpus, now),
        notes=tuple(notes),
        models_md5=models_md5,
        margin=None if other_faces else read_margin(models.metrics(FILE), system),
        interval=interval,
    )


def for_kind(trained: Trained, kind: Kind, recording: Path) -> Trained:
    """The system for one recording: of a sound file, the part of it that only listens.

    Raises:
        BadInput: nothing of the system can do without pictures.
    """
    if kind != "sound":
        return trained
    listening = [name for name in trained.systems if SYSTEMS[name].hears and not SYSTEMS[name].leans_on]
    listening = [name for name in listening if not SYSTEMS[name].sees]
    if not listening:
        problem = f"no pictures, and {trained.system} needs them"
        remedy = "Choose the system audio of models that you trained; the starter has none"
        raise BadInput(recording, problem, remedy)
    system = listening[0]
    files = set(model_files(system, trained.params))
    said = "" if system == trained.system else f"a sound file: by {system} alone; "
    return replace(
        trained,
        system=system,
        notes=(*trained.notes, f"{said}who speaks when isn't known without pictures"),
        models_md5={name: md5 for name, md5 in trained.models_md5.items() if name in files},
        margin=read_margin(trained.models.metrics(FILE), system),
        interval=None,  # it looks at faces
    )


_REMEDY = "Run `make repro` in the repository, or name a folder of trained models (--models, model=)."


def model_files(system: str, params: Params) -> list[str]:
    """Every file below `models/` that a system or a fusion needs."""
    names = {name for single in parts_of(system) for name in SYSTEMS[single].files(params)}
    fusion = {f"fusion/{system}.safetensors"} if system in FUSIONS else set()
    return sorted(names | fusion)


def lack_of(system: str, models: Workspace, params: Params) -> Untrained | None:
    """Why a system or a fusion isn't trained; None if it is, or hasn't been tried.

    Raises:
        BadInput: one of its files is damaged.
    """
    lacks = (read_untrained(models.model(name)) for name in model_files(system, params))
    return next(filter(None, lacks), None)


def interval_files(system: str) -> list[str]:
    """What a system's interval is read from, below `models/`."""
    return [f"{FOLDER}/{name}.safetensors" for name in (LANDMARKS, system)]


def _md5(path: Path, system: str) -> str:
    """Hash of a model file that can be opened."""
    if not path.is_file():
        raise ValaroError(f"{path} is missing: the system {system} isn't trained. {_REMEDY}")
    try:
        read_header(path)
    except BadInput as damage:
        raise ValaroError(f"{path} is damaged ({damage.problem}). {_REMEDY}") from None
    return md5_of(path)


def pretrained(models: Workspace) -> Path:
    """Where pretrained weights lie: beside the models trained here, else in the repository."""
    own, shared = models.model("pretrained"), default_models() / "pretrained"
    return shared if shared.is_dir() and not own.is_dir() else own


def corpus_of(folder: Path) -> str | None:
    """The corpus that the models in a folder learnt from, as their maker wrote it down; None without."""
    corpus: str | None = _provenance(folder).get("corpus")
    return corpus


def _notice(folder: Path, *corpora: str) -> str:
    if any(is_sample(corpus) for corpus in corpora):
        return SAMPLE_NOTICE
    return str(_provenance(folder).get("notice", ""))


def _provenance(folder: Path) -> dict[str, Any]:
    """What the stage fuse, or the maker of an exported folder, wrote down; nothing where neither has."""
    record = folder / "fusion" / "provenance.json"
    return dict(read_json(record)) if record.is_file() else {}


def _resolve(system: str, models: Workspace) -> str:
    if system != BEST:
        return system
    scores = models.metrics("evaluate.json")
    if not scores.is_file():
        names = ", ".join([*SYSTEMS, *FUSIONS])
        raise ValaroError(
            f"{scores} is missing: nothing tells the best system. {_REMEDY} Or choose a system: {names}."
        )
    return present_name(str(read_json(scores)["best"]))


def _faces(faces: FacesParams, detector: str | None) -> tuple[FacesParams, list[str]]:
    """The section `faces` with another detector, at that detector's own least score."""
    if detector in (None, faces.detector):
        return faces, []
    note = f"faces found by {detector}; in training it was {faces.detector}"
    if detector not in DETECTORS:
        raise ValaroError(unknown("detector", str(detector), DETECTORS))
    changed = {"detector": detector, "min_score": DETECTORS[detector].least_score}
    return FacesParams.model_validate(faces.model_dump() | changed), [note]


def default_models() -> Path:
    """The default folder of trained models: in this repository, else in the checkout."""
    return Path("models") if Path(PARAMS_FILE).is_file() else ROOT / "models"
