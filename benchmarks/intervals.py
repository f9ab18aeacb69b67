"""How much narrower than a constant band the interval is that widens where a system is unsure.

    python benchmarks/intervals.py [--system dynamic] [--folder FOLDER] [--recordings 60] [--others 30]

On recordings that neither the system nor the method has seen: the generator draws them with other seeds, and
others of speakers outside every range of the sample's (face, skin, hair, voice). The sample's trained models
(models/, after `make repro`) predict them, as they are, degraded, and in other light and skin. The interval
is fitted on some and measured on the others, beside two constant bands: of all that it was fitted on, and of
what of that is not degraded (clean). All are stretched to 90 % coverage on the set that is measured. What
FOLDER holds already is not drawn again. Four minutes of processor time.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measure import arguments, machine, save

from data.sample import cast
from data.sample.looks import Looks, draw_looks
from data.sample.settings import load_settings
from data.sample.shoot import shoot
from stages import decode, degrade, faces, index, mouth, speech
from stages.core.artefacts import read_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.folds import assign_folds
from stages.core.measures import TARGETS
from stages.core.params import IntervalParams, Params, load_params
from stages.core.systems import traces_folder
from stages.core.times import nearest
from stages.engine.stage import HERE
from stages.engine.units import do_unit
from stages.evaluation.adaptive import Band, CrossFitted, measure, width_at
from stages.evaluation.difficulty import VALUE, Seen, features_of
from stages.layouts.readers import list_corpus

CLIPS = 6  # of a seed
FIRST_SEED, FIRST_OTHER = 10, 20
DEGRADED = degrade.DEGRADED
SETS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "as they are": ("own", ("sample",)),
    "degraded": ("own", DEGRADED),
    "other light and skin": ("own", ("shifted",)),
    "other speakers": ("other", ("sample",)),
    "other speakers, degraded": ("other", DEGRADED),
    "other speakers, other light and skin": ("other", ("shifted",)),
}
FITTED_ON = (6, 12, 24)
FITTED_KINDS = ("sample", *DEGRADED)
Range = tuple[float, float]


class Rows(NamedTuple):
    """Labelled steps: features (N, 2, F), errors (N, 2), recording, speakers, kind of copy (N,)."""

    features: np.ndarray
    errors: np.ndarray
    recording: np.ndarray
    speakers: np.ndarray
    kind: np.ndarray

    def where(self, chosen: np.ndarray) -> "Rows":
        """Some of them."""
        return Rows(*(column[chosen] for column in self))


def other_looks(rng: np.random.Generator, face_width_px: Range) -> Looks:
    """Somebody outside of every range of `draw_looks`, on one side or the other."""

    def beyond(low: Range, high: Range) -> float:
        return float(rng.choice([rng.uniform(*low), rng.uniform(*high)]))

    return replace(
        draw_looks(rng, face_width_px),
        width=beyond((-0.13, -0.08), (0.08, 0.13)),
        height=beyond((-0.10, -0.06), (0.06, 0.10)),
        jaw_width=beyond((-0.14, -0.09), (0.09, 0.14)),
        eye_distance_px=beyond((-2.6, -1.6), (1.6, 2.6)),
        skin_light=beyond((0.42, 0.62), (1.06, 1.2)),
        skin_red=beyond((-12, -6), (8, 14)),
        hair_hue=beyond((-20, -10), (14, 24)),
        pitch_hz=float(np.exp(rng.uniform(np.log(190), np.log(240)))),
    )


def draw(folder: Path, speakers: str, seed: int) -> None:
    """The validation clips of one seed; the generator wants one of each other split besides."""
    cast.draw_looks = other_looks if speakers == "other" else draw_looks
    settings = load_settings(Path("data/sample/params.yaml"))
    counts = settings.clips_per_split.model_copy(update={"train": 1, "validation": CLIPS, "test": 1})
    for clip in cast.plan(settings.model_copy(update={"seed": seed, "clips_per_split": counts})):
        if clip.split == "validation":
            shoot(clip, folder)


def predict(corpus_folder: Path, root: Path, params: Params) -> None:
    """The sample's chain, without sound, on a corpus and its worse copies."""
    workspace, models = Workspace(root), Path("models").absolute()
    (root / "models").symlink_to(models)
    settings = params.index.model_copy(update={"corpus": str(corpus_folder), "test_list": None})
    listing = list_corpus(settings, None)
    for one in listing.found:
        do_unit(index.index_subject, index.unit_of(one, workspace, params.decode), settings)
    videos = {one.subject.video: one.video_file.as_posix() for one in listing.found}
    corpus = Corpus([one.subject for one in listing.found], videos)
    workspace.write_corpus(corpus)
    engine = {"engine": params.compute.engine, "precision": params.compute.precision}
    functionals = params.kelm.functionals
    given = degrade.Settings(
        embed=params.embed,
        functionals=functionals,
        smooth=params.smooth,
        compute=HERE.model_copy(update=engine),
    )
    steps = [
        (decode.decode_video, lambda: decode.units(workspace, corpus), params.decode),
        (
            faces.search_video,
            lambda: faces.search_units(workspace, corpus, params.faces, models / "pretrained"),
            params.faces.detection(),
        ),
        (faces.find_faces, lambda: faces.units(workspace, corpus), params.faces),
        (mouth.measure_mouth, lambda: mouth.units(workspace, corpus), params.mouth),
        (speech.find_speech, lambda: speech.units(workspace, corpus), params.speech),
        *degrade.steps(workspace, workspace, corpus, given),
    ]
    for work, units, of_stage in steps:
        for unit in units():
            do_unit(work, unit, of_stage)
    for unit in degrade.units(workspace, corpus, params.embed.backbone, functionals):
        with tempfile.TemporaryDirectory() as scratch:
            do_unit(degrade.degrade_validation, replace(unit, scratch=Path(scratch)), given)


def gathered(roots: Sequence[Path], system: str, landmarks: np.ndarray) -> Rows:
    """Features and errors of every copy of every recording."""
    parts: list[tuple[np.ndarray, ...]] = []
    for root in roots:
        workspace, speakers = Workspace(root), root.name.split("-")[0]
        for kind in ("sample", *DEGRADED, degrade.SHIFTED):
            place = workspace.folder() if kind == "sample" else workspace.folder("degraded", kind)
            for trace in sorted((place / traces_folder(system)).glob("*.h5")):
                own = [place / stage / trace.name for stage in ("faces", "embeddings")]
                seen = Seen(own[0], workspace.artefact("speech", trace.stem), own[1], trace, {})
                features, time_s = features_of(seen, landmarks)
                labels = read_arrays(workspace.artefact("index", trace.stem), "valence_arousal", "time_s")
                truth = labels["valence_arousal"][nearest(labels["time_s"], time_s)].astype(float)
                known = ~np.isnan(truth).any(axis=1)
                names = (f"{root.name}/{trace.stem}", speakers, kind)
                columns = (np.full(int(known.sum()), name) for name in names)
                parts.append((features[known], (truth - features[:, :, VALUE])[known], *columns))
    return Rows(*(np.concatenate(column) for column in zip(*parts, strict=True)))


Figures = dict[tuple[str, int], list[list[float]]]


def compared(seen: Rows, new: Rows, settings: IntervalParams) -> Figures:
    """Fit on some rows, measure on others: by set and target."""
    found: Figures = {}
    tails = [(1 - settings.coverage) / 2, (1 + settings.coverage) / 2]
    fold = assign_folds(seen.recording, 5, 0)
    for column in range(len(TARGETS)):
        own = (seen.features[:, column], seen.errors[:, column], seen.recording, fold, settings, seen.kind)
        band: Band = CrossFitted(*own).band()
        clean = seen.errors[seen.kind == "sample", column]
        constant = [np.quantile(each, tails) for each in (seen.errors[:, column], clean)]
        for name, (speakers, kinds) in SETS.items():
            rows = new.where((new.speakers == speakers) & np.isin(new.kind, kinds))
            errors, bounds = rows.errors[:, column], band.errors(rows.features[:, column])
            width = width_at(bounds, errors, settings.coverage)
            narrower = [
                1 - width / width_at(np.tile(each, (len(errors), 1)), errors, settings.coverage)
                for each in constant
            ]
            held = measure(bounds, errors)
            found[name, column] = [[*narrower, held.coverage, *held.by_third]]
    return found


def over_draws(rows: Rows, count: int, draws: int, settings: IntervalParams) -> Figures:
    """Fitted on `count` recordings, drawn anew each time, and measured on all others."""
    found: Figures = {}
    names = np.unique(rows.recording[rows.speakers == "own"])
    for number in range(draws):
        fitted = np.random.default_rng([0, count, number]).choice(names, count, replace=False)
        inside = np.isin(rows.recording, fitted)
        seen = rows.where(inside & np.isin(rows.kind, FITTED_KINDS))
        for key, figures in compared(seen, rows.where(~inside), settings).items():
            found.setdefault(key, []).extend(figures)
    return found


def lines(count: int, found: Figures) -> Iterator[str]:
    """Rows of the report's table."""
    for (name, column), draws in found.items():
        mean, deviation = np.mean(draws, axis=0), np.std(draws, axis=0)
        cells = [f"{100 * mean[k]:.0f} ± {100 * deviation[k]:.0f} %" for k in range(2)]
        thirds = ", ".join(f"{share:.2f}" for share in mean[3:])
        yield f"| {count} | {name} | {TARGETS[column]} | {' | '.join(cells)} | {mean[2]:.2f} | {thirds} |"


def corpora(recordings: int, others: int) -> list[tuple[str, int]]:
    """Speakers and seed of each corpus."""
    own, other = (-(-count // CLIPS) for count in (recordings, others))
    return [
        *(("own", FIRST_SEED + k) for k in range(own)),
        *(("other", FIRST_OTHER + k) for k in range(other)),
    ]


def main() -> None:
    """Draw, predict, fit, measure, and keep the figures."""
    chosen = arguments(__doc__, system="dynamic", folder=None, recordings=60, others=30, draws=8)
    params = load_params()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(chosen.folder or scratch)
        roots = []
        for speakers, seed in corpora(chosen.recordings, chosen.others):
            drawn, root = (folder / part / f"{speakers}-{seed}" for part in ("corpora", "ws"))
            if not (root / "done").is_file():
                shutil.rmtree(root, ignore_errors=True)
                root.mkdir(parents=True)
                draw(drawn, speakers, seed)
                predict(drawn / "corpus", root, params)
                (root / "done").touch()
            roots.append(root)
        from safetensors.numpy import load_file

        landmarks = load_file(Path("models/intervals/landmarks.safetensors"))["landmarks"]
        rows = gathered(roots, chosen.system, landmarks)
    table = [
        line
        for count in FITTED_ON
        if count < chosen.recordings
        for line in lines(count, over_draws(rows, count, chosen.draws, params.intervals))
    ]
    counts = [len(np.unique(rows.recording[rows.speakers == speakers])) for speakers in ("own", "other")]
    text = [
        f"The interval of `{chosen.system}` on {counts[0]} recordings of the sample's kind of speakers and "
        f"{counts[1]} of other speakers, mean and standard deviation of {chosen.draws} draws. "
        f"{machine(chosen.device)}",
        "",
        "| fitted on | measured on the others | target | narrower | than the clean band | coverage | of the "
        "easy, middling, hard third |",
        "|---:|---|---|---|---|---:|---|",
        *table,
    ]
    save(chosen, "intervals", "How much narrower the interval is than a constant band", text)


if __name__ == "__main__":
    main()
