"""Gather the pre-training corpora: their images, cropped to faces, and one table of labels.

    python -m stages.gather          (dvc repro gather)

Reads   data/pretraining/<corpus>/        in the layouts that data/pretraining/README.md describes; corpora
                                          that aren't there are skipped
Writes  data/gather/<corpus>/<shard>.h5   one per video, or per 500 to 1000 pictures: jpeg, jpeg_offset: N
                                          face crops; valence_arousal (N, 2) float32 in [-1, 1], NaN where
                                          unlabelled; emotion (N,) int8, index into CLASSES, -1 where
                                          unlabelled; speaker, source (N,) text; time_s (N,) NaN for
                                          pictures; part (N,): 1 official training, 2 validation, 3 test;
                                          votes (N, 8) int16, all 0 where they aren't published;
                                          digest (N,) uint64 of the crop, equal for equal pictures
Params  faces, pretrain.corpora, pretrain.frames_hz

Paper, section 4.1 and table 1. Faces are found and cut out by the same detector and margin as the pipeline's
own; corpora that ship aligned faces are taken as they are. What a row or a file can't give is noted, and
the rest goes on. Memory: a corpus' table; the images of one shard per worker.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from stages.core.arrays import Image
from stages.core.corpus import Workspace
from stages.core.detectors import DETECTORS
from stages.core.notes import Note
from stages.core.params import FacesParams, load_params
from stages.core.weights import PRETRAINED, find_weights
from stages.corpora.adapters import ADAPTERS, present
from stages.corpora.crops import picture_crops, video_crops
from stages.corpora.labelled_faces import write_shard
from stages.corpora.shards import shards
from stages.corpora.table import Problems, Sample
from stages.engine.progress import say
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.faces import jobs_for
from stages.media.jpeg import pack_jpegs
from stages.vision.detectors import detector_of


def gather_shard(unit: Unit, settings: FacesParams) -> list[Note]:
    """Cut out the faces of one shard's samples."""
    samples = [Sample(*row) for row in unit.facts["samples"]]
    weights = str(unit.reads["weights"]) if "weights" in unit.reads else None
    detector = detector_of(settings, weights)
    paths = {sample.source: unit.reads[f"corpus/{sample.source}"] for sample in samples}
    found: list[int] = []

    def crops() -> Iterator[Image]:
        if (frames_hz := unit.facts["frames_hz"]) is None:
            numbered = picture_crops(paths, samples, detector, settings)
        else:
            numbered = video_crops(paths[samples[0].source], samples, frames_hz, detector, settings)
        for number, crop in numbered:
            found.append(number)
            yield crop

    jpeg, offset = pack_jpegs(crops(), settings.jpeg_quality)
    write_shard(unit.writes["shard"], [samples[number] for number in found], jpeg, offset)
    if len(found) == len(samples):
        return []
    first = samples[min(set(range(len(samples))) - set(found))].source
    problem = f"{len(samples) - len(found)} of {len(samples)} images can't be read or show no face"
    return [unit.warn(first, f"{problem}; this is the first", "Nothing to do: they are left out")]


def read_corpus(name: str, folder: Path, frames_hz: float) -> tuple[list[Sample], list[Note]]:
    """The table of one corpus, and what of it can't be used."""
    problems = Problems(name, folder)
    samples: list[Sample] = []
    try:
        samples.extend(ADAPTERS[name](folder, frames_hz, problems))
    except (OSError, UnicodeError, csv.Error) as error:
        problems.add(folder, f"reading it broke off: {error}", "Repair or replace that file")
    if not samples:
        remedy = "data/pretraining/README.md shows the layout that is expected"
        problems.add(folder, "no labelled image is found in it", remedy)
    return samples, problems.notes


def units(
    workspace: Workspace,
    corpus: str,
    folder: Path,
    samples: list[Sample],
    frames_hz: float,
    settings: FacesParams,
    pretrained: Path = PRETRAINED,
) -> list[Unit]:
    """One unit per video of a corpus, or portion of its pictures."""
    needed = DETECTORS[settings.detector].weights
    weights = {"weights": find_weights(needed, pretrained)} if needed else {}
    return [
        Unit(
            f"{corpus}/{shard}",
            weights | {f"corpus/{sample.source}": folder / sample.source for sample in rows},
            {"shard": workspace.artefact(f"gather/{corpus}", shard)},
            {
                "samples": [list(sample) for sample in rows],
                "frames_hz": None if rows[0].time_s is None else frames_hz,
            },
        )
        for shard, rows in sorted(shards(samples).items())
    ]


def gather() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    settings, corpora = params.pretrain, present(Path(params.pretrain.corpora))
    if absent := [name for name in ADAPTERS if name not in corpora]:
        say(f"gather: not in {settings.corpora}, skipped: {', '.join(absent)}")
    with Stage("gather", workspace.folder("gather")) as stage:
        work: list[Unit] = []
        for corpus, folder in corpora.items():
            samples, notes = read_corpus(corpus, folder, settings.frames_hz)
            stage.note(*notes)
            work += units(workspace, corpus, folder, samples, settings.frames_hz, params.faces)
        stage.run(
            gather_shard, work, params.faces, jobs=jobs_for(params.faces.detector), compute=params.compute
        )


if __name__ == "__main__":
    main("gather")
