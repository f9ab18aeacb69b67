"""Score every system: CCC, RMSE, intervals, pairs, per video; and one list of everything set aside.

    python -m stages.evaluate          (dvc repro evaluate)

Reads   data/index/<subject>.h5                   labels of train and validation on their native frames
        data/traces/<system>[.out_of_fold]/<subject>.h5    the single systems' traces
        data/fused/<fusion>[.out_of_fold]/<subject>.h5     the fusions'
        data/<stage>/notes.json                   what the stages set aside (data/predictions/<system>/ too)
Writes  metrics/evaluate.json                     system -> protocol -> ccc, rmse, frames; `best`, `highest`,
                                                  `within_noise`
        metrics/scores.json                       the few figures of it that `dvc metrics diff` compares
        metrics/pairs.csv                         every pair of systems: difference and its interval
        metrics/margins.json                      system -> how far the truth lies from its validation traces
        metrics/per_video.csv                     CCC per validation subject, of the best system
        metrics/per_video_all.csv                 the same of every system under every protocol but `train`
        metrics/notes.json                        the notes of all stages
Params  evaluate

CCC is taken over all labelled frames of a split concatenated, silence included (paper, equation 2): the
protocol of table 5. (`audio` here is scored over whole videos; table 2's figure, over speaking windows, is
train_audio's.) Protocols:

    train           a single system on what it was fitted on: optimistic
    as_published    whatever is picked by validation (an epoch, C and gamma, weights, trees) is picked by all
                    of it and scored on all of it, as in the paper: optimistic
    out_of_fold     picked on all folds of recordings but one and scored on that one: an estimate of the score
                    on a test
    optimism        the mean CCC as_published minus that out_of_fold

Intervals are by a bootstrap over recordings: each resample draws as many as there are, with replacement;
people and parts of one recording are drawn together, since light, camera and moment are the same for them.

`highest` has the highest mean CCC out of fold. Systems whose paired interval with it holds 0 are
`within_noise` of it, and of these `best`, the default for test and for `valaro predict`, is the simplest: the
one that runs the fewest single systems, a sum before a forest. Systems that abstain for some recordings don't
compete.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.core.artefacts import read_json, whole, write_json
from stages.core.corpus import Workspace
from stages.core.errors import ValaroError
from stages.core.measures import TARGETS
from stages.core.params import EvaluateParams, load_params
from stages.core.systems import FUSIONS, SYSTEMS, complexity, out_of_fold_folder, traces_folder
from stages.engine.progress import say, say_table
from stages.engine.stage import NOTES, Stage, main
from stages.evaluation.headline import headline, unscored
from stages.evaluation.margins import FILE, Margin, margin_of_all, to_json
from stages.evaluation.pairs import Pair, best_of, compare
from stages.evaluation.scoring import gather, score, score_subjects

AS_PUBLISHED, OUT_OF_FOLD = "as_published", "out_of_fold"
ALL = (*SYSTEMS, *FUSIONS)


def score_all(workspace: Workspace, settings: EvaluateParams) -> tuple[dict[str, Any], list[Pair]]:
    """Every system under every protocol that applies to it, and the systems compared in pairs.

    Raises:
        ValaroError: no system has an out-of-fold figure.
    """
    corpus = workspace.corpus()
    train, validation = corpus.of("train"), corpus.of("validation")
    systems: dict[str, Any] = {}
    unseen = {}
    for system in ALL:
        published = gather(workspace, traces_folder(system), validation)
        held_out = gather(workspace, out_of_fold_folder(system), validation)
        scores = {AS_PUBLISHED: score(published, settings), OUT_OF_FOLD: score(held_out, settings)}
        if system in SYSTEMS:
            scores["train"] = score(gather(workspace, traces_folder(system), train), settings)
        systems[system] = {name: found for name, found in scores.items() if found}
        if held_out.frames:
            unseen[system] = held_out
            systems[system]["optimism"] = published.mean_ccc() - held_out.mean_ccc()
    if not unseen:
        raise ValaroError(
            "no out-of-fold figure: validation needs two labelled recordings; see data/*/notes.json"
        )
    recordings = {name: found.recordings for name, found in unseen.items()}
    pairs = compare(
        recordings, resamples=settings.resamples, confidence=settings.confidence, seed=settings.seed
    )
    figures = {name: found.mean_ccc() for name, found in unseen.items()}
    best, highest, within = best_of(recordings, figures, pairs, complexity)
    choice = {"best": best, "highest": highest, "within_noise": within}
    return {**choice, "confidence": settings.confidence, "systems": systems}, pairs


def margins(workspace: Workspace) -> dict[str, Margin | None]:
    """System -> its margin for new videos, from out-of-fold traces."""
    validation = workspace.corpus().of("validation")
    return {name: margin_of_all(workspace, validation, out_of_fold_folder(name)) for name in ALL}


FIGURES = ["valence_ccc", "arousal_ccc", "mean_ccc", "labelled_frames"]


def write_per_video(workspace: Workspace, system: str, path: Path) -> None:
    """CCC of every validation subject by the out-of-fold traces of one system, worst first."""
    scores = score_subjects(workspace, out_of_fold_folder(system))
    _write_csv(path, ["subject", *FIGURES], [[score.subject, *score.cells()] for score in scores])


def write_per_video_all(workspace: Workspace, path: Path) -> None:
    """CCC of every validation subject, by every system under every protocol but `train`."""
    folders = [
        (system, protocol, folder)
        for system in ALL
        for protocol, folder in (
            (AS_PUBLISHED, traces_folder(system)),
            (OUT_OF_FOLD, out_of_fold_folder(system)),
        )
    ]
    rows = [
        [score.subject, system, protocol, *score.cells()]
        for system, protocol, folder in folders
        for score in score_subjects(workspace, folder)
    ]
    _write_csv(path, ["subject", "system", "protocol", *FIGURES], rows)


def write_pairs(pairs: list[Pair], path: Path) -> None:
    """Every pair of systems, the better one first."""
    rows: list[list[str | int]] = [
        [
            pair.first,
            pair.second,
            *(f"{figure:.4f}" for figure in (pair.difference, pair.low, pair.high)),
            pair.recordings,
            "yes" if pair.within_noise else "no",
        ]
        for pair in pairs
    ]
    head = ["better", "worse", "difference", "low", "high", "recordings", "within_noise"]
    _write_csv(path, head, rows)


def _write_csv(path: Path, head: list[str], rows: list[list[str | int]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([head, *rows])
    with whole(path) as partial:
        partial.write_text(buffer.getvalue(), encoding="utf-8")


def gather_notes(workspace: Workspace) -> list[dict[str, Any]]:
    """The notes of all stages before this one, each with its stage (the folder below data/)."""
    data = workspace.folder()
    return [
        {"stage": path.relative_to(data).parts[0], **note}
        for path in sorted([*data.glob(f"*/{NOTES}"), *data.glob(f"predictions/*/{NOTES}")])
        if path.parent.name != "submission"  # left by an earlier run: it comes after this one
        for note in read_json(path)
    ]


HEAD = ("system", "valence", "arousal", "out of fold", "interval", "as published", "optimism", "")
LEGEND = (
    "mean CCC on validation. out of fold: what is picked (epoch, C, weights) is picked by other recordings",
    "than the one it is scored on; as published: by the same. ≈: within the noise of the highest (paired",
    "bootstrap over recordings); of these the simplest goes to test",
)


def legend(scores: dict[str, Any]) -> Iterator[str]:
    """What to print below the table; names the systems without a score."""
    yield from LEGEND
    if names := unscored(scores):
        yield f"no score, since they predict no validation video: {', '.join(names)}"
        yield "(metrics/notes.json says why)"


def table(scores: dict[str, Any]) -> tuple[list[list[str]], int | None]:
    """The scores as rows under HEAD, the best out-of-fold figure first, and which of them goes to test."""
    systems = {name: found for name, found in scores["systems"].items() if AS_PUBLISHED in found}

    def figure(name: str) -> float:
        return float(systems[name].get(OUT_OF_FOLD, {}).get("ccc", {}).get("mean", {}).get("value", -2.0))

    names = sorted(systems, key=lambda name: (-figure(name), name))
    rows = [_row(name, systems[name], name in scores.get("within_noise", [])) for name in names]
    best = next((place for place, name in enumerate(names) if name == scores["best"]), None)
    return rows, best


def _row(name: str, found: dict[str, Any], within_noise: bool) -> list[str]:
    published = f"{found[AS_PUBLISHED]['ccc']['mean']['value']:.3f}"
    if OUT_OF_FOLD not in found:
        return [name, "", "", "", "", published, "", ""]
    ccc = found[OUT_OF_FOLD]["ccc"]
    interval = f"[{ccc['mean']['low']:.3f}, {ccc['mean']['high']:.3f}]" if "low" in ccc["mean"] else ""
    figures = [f"{ccc[target]['value']:.3f}" for target in (*TARGETS, "mean")]
    return [name, *figures, interval, published, f"{found['optimism']:+z.3f}", "≈" if within_noise else ""]


def evaluate() -> None:
    """Run the stage on params.yaml."""
    settings, workspace = load_params().evaluate, Workspace()
    with Stage("evaluate"):
        scores, pairs = score_all(workspace, settings)
        write_json(workspace.metrics("evaluate.json"), scores)
        write_json(workspace.metrics("scores.json"), headline(scores))
        write_pairs(pairs, workspace.metrics("pairs.csv"))
        write_json(workspace.metrics(FILE), to_json(margins(workspace)))
        write_per_video(workspace, scores["best"], workspace.metrics("per_video.csv"))
        write_per_video_all(workspace, workspace.metrics("per_video_all.csv"))
        notes = gather_notes(workspace)
        write_json(workspace.metrics("notes.json"), notes)
    rows, best = table(scores)
    say_table(HEAD, rows, best)
    for line in legend(scores):
        say(line)
    aside = sum(note["quarantined"] for note in notes)
    say("metrics/evaluate.json and metrics/pairs.csv have more")
    say(f"{aside} inputs set aside, {len(notes) - aside} notes: metrics/notes.json")


if __name__ == "__main__":
    main("evaluate")
