"""Fit the systems again on training and validation together, for the test split.

    python -m stages.refit          (dvc repro refit)

Reads   what train_dynamic, kelm and train_audio read
        metrics/dynamic/metrics.json, metrics/audio/<version>/metrics.json   epochs that the folds chose
        models/kelm/<functionals>.safetensors    C and gamma
        models/audio/<version>.safetensors       whether it is trained
        models/static, models/fusion             unchanged: the extractor, fusion weights and trees
        data/faces, data/speech, data/voice      of the test split
Writes  models/refit/                            dynamic/, kelm/, audio/
        data/refit/traces/<system>/<subject>.h5, data/refit/fused/<fusion>/<subject>.h5      test
Params  submission.refit, dynamic, kelm, audio, smooth, crossfit

With submission.refit: none (the default) it does nothing. With train+validation the systems are fitted on the
labels of validation too. No data is left for early stopping, so each training runs to the epoch that
cross-fitting chose: the median over the folds, per target. Where there is no audio model (`core.untrained`),
none is refitted. The stage submission then uses these traces. They have no score: evaluate scores the systems
that were fitted on training alone. Neither the static model, which extracts the embeddings, nor the
cross-attention is refitted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages import fuse, kelm, predict, smooth, train_audio, train_dynamic
from stages.core.artefacts import read_arrays, read_json, write_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.errors import BadInput, ValaroError
from stages.core.measures import TARGETS
from stages.core.notes import Note
from stages.core.params import Params, load_params
from stages.core.systems import FUSIONS, traces_folder
from stages.core.untrained import read_untrained, write_untrained
from stages.engine.stage import Stage, main
from stages.engine.units import Unit, do_unit

FOLDER = "refit"
SYSTEMS = ("dynamic", "kelm", "audio")


@dataclass(frozen=True)
class Refitted(Workspace):
    """A workspace whose dynamic model, KELM and audio model are the refitted ones."""

    def model(self, file: str) -> Path:
        """A trained model below `models/`."""
        refitted = file.split("/", 1)[0] in SYSTEMS
        return super().model(f"{FOLDER}/{file}" if refitted else file)


def chosen(metrics: Path) -> dict[str, int]:
    """Target -> median over the folds of the epoch that the others chose.

    Raises:
        ValaroError: the training has no folds: validation has a single recording.
    """
    by_fold = read_json(metrics).get("epochs_by_fold", {}).values()
    if not by_fold:
        raise ValaroError(f"{metrics}: no epochs by fold; submission.refit needs two validation recordings")
    return {target: int(np.median([each[target] for each in by_fold])) for target in TARGETS}


def both(unit: Unit, **facts: Any) -> Unit:
    """A training unit whose `train` holds validation too, and whose models go to a folder of their own."""
    train, validation = unit.facts["train"], unit.facts["validation"]
    joined = train | validation if isinstance(train, dict) else [*train, *validation]
    apart = {role: _apart(path) for role, path in unit.writes.items() if role == "model"}
    return Unit(unit.name, unit.reads, apart, unit.facts | {"train": joined, "folds": {}} | facts)


def _apart(path: Path) -> Path:
    """models/dynamic -> models/refit/dynamic."""
    place = path.parts.index("models") + 1
    return Path(*path.parts[:place], FOLDER, *path.parts[place:])


def fit_all(stage: Stage, workspace: Workspace, corpus: Corpus, params: Params) -> None:
    """Train the three systems on both splits; without speech, two."""
    once = {"patience": 1}  # the run ends one epoch after the last one that is needed
    epochs = chosen(workspace.metrics("dynamic/metrics.json"))
    wanted = dict(zip(train_dynamic.CHOSEN_BY, epochs.values(), strict=True))
    unit = both(train_dynamic.unit_of(workspace, corpus, params.crossfit), epochs=wanted)
    optimisation = params.dynamic.optimisation.model_copy(update=once)
    stage.run(
        train_dynamic.train, [unit], params.dynamic.model_copy(update={"optimisation": optimisation}), jobs=1
    )
    functionals = params.kelm.functionals
    c, gamma = kelm.constants_of(workspace.model(f"kelm/{functionals}.safetensors"))
    unit = kelm.unit_of(workspace, corpus, functionals, params.crossfit)
    stage.run(kelm.refit, [both(unit, c=c, gamma=gamma)], kelm.common(params.kelm), jobs=1)
    audio = train_audio.settings_of(params.audio, params.audio.version)
    heard = f"audio/{audio.version}.safetensors"
    if lack := read_untrained(workspace.model(heard)):
        write_untrained(workspace.model(f"{FOLDER}/{heard}"), lack)
        stage.note(lack.note("audio", workspace.model(heard)))
        return
    epochs = chosen(workspace.metrics(f"audio/{audio.version}/metrics.json"))
    unit = both(
        train_audio.unit_of(workspace, corpus, audio.version, params.crossfit),
        epochs={train_audio.MEAN: epochs["valence"]},
    )
    optimisation = audio.optimisation.model_copy(update=once)
    stage.run(train_audio.train, [unit], audio.model_copy(update={"optimisation": optimisation}), jobs=1)


def predict_test(unit: Unit, params: Params) -> list[Note]:
    """The refitted systems on the test split, in a workspace of their own; their traces are kept."""
    workspace = Workspace(Path(unit.facts["root"]))
    corpus, models, copy = workspace.corpus(), Refitted(workspace.root), Workspace(unit.scratch / "copy")
    test = corpus.of("test")
    copy.write_corpus(Corpus(test, corpus.videos))
    for name, path in ((role, path) for role, path in unit.reads.items() if role.startswith("data/")):
        target = copy.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(path.absolute())
    for work, units, given in _steps(copy, models, params):
        for each in units:
            try:
                do_unit(work, each, given)
            except BadInput:  # it abstains, as the system before does
                continue
    for folder in [*(traces_folder(name) for name in SYSTEMS), *(traces_folder(name) for name in FUSIONS)]:
        for file in sorted(copy.folder(folder).glob("*.h5")):
            write_arrays(unit.writes["traces"] / folder / file.name, read_arrays(file))
    unit.writes["traces"].mkdir(parents=True, exist_ok=True)
    return []


def _steps(copy: Workspace, models: Workspace, params: Params) -> Iterator[tuple[Any, list[Unit], Any]]:
    corpus = copy.corpus()
    test = corpus.of("test")
    yield predict.predict_dynamic, predict.dynamic_units(copy, models, test, params.compute), None
    yield predict.predict_kelm, predict.kelm_units(copy, models, test, params.kelm.functionals), None
    sounds = predict.audio_units(copy, models, test, params.audio.version, params.compute)
    yield predict.predict_audio, sounds, None
    yield smooth.smooth_subject, smooth.units(copy, corpus), params.smooth
    for fusion in FUSIONS:
        yield fuse.apply_fusion, fuse.applying_units(copy, models, test, fusion), None


def predicting_unit(workspace: Workspace, corpus: Corpus) -> Unit:
    """Everything that the prediction of the test split reads and writes."""
    reads = {}
    for subject in corpus.of("test"):
        names = [(stage, subject.name, ".h5") for stage in ("index", "faces", "embeddings", "speech")]
        for stage, name, suffix in [*names, ("voice", subject.video, ".wav")]:
            path = workspace.artefact(stage, name, suffix)
            if path.is_file():
                reads[f"data/{stage}/{name}{suffix}"] = path
    models = workspace.root / "models"
    weights = [*(models / FOLDER).rglob("*.safetensors"), *(models / "fusion").glob("*.safetensors")]
    for path in sorted(weights):
        reads[f"model {path}"] = path
    return Unit("test", reads, {"traces": workspace.folder(FOLDER)}, {"root": str(workspace.root)})


def refit() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    models, traces = workspace.model(FOLDER), workspace.folder(FOLDER)
    for folder in (models, traces):
        folder.mkdir(parents=True, exist_ok=True)
    with Stage("refit") as stage:
        if params.submission.refit == "train+validation":
            corpus = workspace.corpus()
            fit_all(stage, workspace, corpus, params)
            stage.run(predict_test, [predicting_unit(workspace, corpus)], params, jobs=1)


if __name__ == "__main__":
    main("refit")
