"""`valaro reproduce`: the authors' weights on validation, beside the paper's figures, before any training.

1. Validation of the corpus in params.yaml is indexed, decoded, its faces are found, as by `dvc repro`; what
   is done here is remembered for it, and the other way round.
2. The imported static model embeds every step, the dynamic one predicts, predictions are smoothed and scored.
3. The CCC stands beside row 1 of table 5. Weights, data and measure are the same; what remains is what
   docs/differences.md lists: the margin of crops, exact times, the order of colours, the ends of windows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stages import decode, embed, faces, index, predict, smooth
from stages.core.corpus import Corpus, Workspace
from stages.core.errors import ValaroError
from stages.core.params import ComputeParams, Params, load_params
from stages.engine.progress import plain_table
from stages.engine.stage import Stage
from stages.engine.units import Unit, Work
from stages.evaluation.published import SYSTEMS
from stages.evaluation.scoring import gather, score
from stages.layouts.listing import Found
from stages.layouts.readers import list_corpus
from valaro.commands.terminal import note, result
from valaro.recordings.trained import Trained, find_trained, pretrained

PLACE = Path(".valaro") / "reproduce"
SYSTEM = "dynamic"
TOLERANCE = 0.03
"""Of a CCC: what the differences listed may add up to. Chosen, not measured: nobody has compared them on the
real corpus yet."""
HEAD = ["target", "ours", "95 % interval", "paper", "difference", ""]


def reproduce(models: Path) -> None:
    """Score the imported weights on validation and print ours beside the paper's.

    Args:
        models: a folder that `valaro import-checkpoint` filled with `static` and `dynamic`.

    Raises:
        ValaroError: weights or corpus are missing, or no validation video is labelled.
    """
    params, trained, workspace = load_params(), find_trained(models, SYSTEM), Workspace(PLACE)
    corpus = _see(params, trained, workspace)
    _estimate(trained, workspace, corpus, params.compute)
    scores = score(gather(workspace, f"traces/{SYSTEM}", corpus.subjects), params.evaluate)
    if scores is None:
        raise ValaroError(f"{params.index.corpus}: no labelled validation video that could be scored")
    for line in plain_table(HEAD, rows_of(scores["ccc"]), None):
        result(line)
    note(
        f"CCC of {scores['labelled_frames']:,} labelled frames in {scores['videos']} recordings; the paper's "
        "are of 76 validation subjects. docs/differences.md says what differs; "
        f"up to {TOLERANCE:g} is taken for explained (chosen, not measured)."
    )


def rows_of(ccc: dict[str, Any]) -> list[list[str]]:
    """A row per target: ours, its interval, the paper's, the difference, and whether that is explained."""
    published = SYSTEMS[SYSTEM]
    rows = []
    for target in ("valence", "arousal", "mean"):
        ours, theirs = ccc[target], getattr(published, target)
        interval = f"[{ours['low']:.3f}, {ours['high']:.3f}]" if "low" in ours else "one recording only"
        difference = ours["value"] - theirs
        verdict = "as expected" if abs(difference) <= TOLERANCE else f"more than {TOLERANCE:g} apart"
        rows.append(
            [target, f"{ours['value']:.3f}", interval, f"{theirs:.3f}", f"{difference:+z.3f}", verdict]
        )
    return rows


def _see(params: Params, trained: Trained, workspace: Workspace) -> Corpus:
    """Index, decode and find the faces of validation."""
    theirs, compute = trained.params, params.compute
    listing = list_corpus(params.index.model_copy(update={"test_list": None}), None)
    found = [one for one in listing.found if one.subject.split == "validation"]
    units = [index.unit_of(one, workspace, params.decode) for one in found]
    _run("index", workspace.folder("index"), index.index_subject, units, params.index, compute)
    corpus = _corpus_of(found, workspace)
    workspace.write_corpus(corpus, source=params.index.corpus)
    films = decode.units(workspace, corpus)
    _run("decode", workspace.folder("decode"), decode.decode_video, films, theirs.decode, compute)
    with Stage("faces", workspace.folder("faces")) as stage:
        faces.run(stage, workspace, corpus, theirs.faces, compute, pretrained(trained.models))
    return corpus


def _corpus_of(found: Sequence[Found], workspace: Workspace) -> Corpus:
    kept = [one for one in found if workspace.artefact("index", one.subject.name).is_file()]
    return Corpus(
        [one.subject for one in kept], {one.subject.video: one.video_file.as_posix() for one in kept}
    )


def _estimate(trained: Trained, workspace: Workspace, corpus: Corpus, compute: ComputeParams) -> None:
    """Embed, predict and smooth by the imported weights."""
    theirs, models = trained.params, trained.models
    images = embed.units(workspace, models, corpus, theirs.embed, compute)
    _run("embed", workspace.folder("embeddings"), embed.embed_subject, images, theirs.embed, compute, jobs=1)
    steps = predict.dynamic_units(workspace, models, corpus.subjects, compute)
    folder = workspace.folder("predictions", SYSTEM)
    _run("predict", folder, predict.predict_dynamic, steps, None, compute, jobs=1)
    traces = smooth.units(workspace, corpus)
    _run("smooth", workspace.folder("traces"), smooth.smooth_subject, traces, theirs.smooth, compute, jobs=1)


def _run(
    name: str,
    folder: Path,
    work: Work,
    units: list[Unit],
    settings: BaseModel | None,
    compute: ComputeParams,
    jobs: int | None = None,
) -> None:
    with Stage(name, folder) as stage:
        stage.run(work, units, settings, jobs=jobs, compute=compute)
