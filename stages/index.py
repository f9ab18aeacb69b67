"""Index the corpus: videos, subjects, splits, labels on the time base, container facts, warnings.

    python -m stages.index          (dvc repro index)

Reads   <index.corpus>                      videos and annotations in Aff-Wild2's layout
Writes  data/index/<subject>.h5             time_s (N,) native frames, valence_arousal (N, 2) float32
                                            (NaN where unlabelled), labelled (N,); container facts
        data/index/corpus.json              subjects, splits, videos, counts; source: the corpus' folder
        data/index/notes.json               what was set aside or looks odd, with reason and remedy
Params  index; decode.max_* (the limits)
"""

from pathlib import Path

import numpy as np

from stages.core.affwild2 import Found, discover
from stages.core.artefacts import read_facts, write_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.labels import align_labels, read_labels
from stages.core.notes import Note
from stages.core.params import DecodeParams, IndexParams, Params, load_params
from stages.engine.stage import Stage, Unit, main

CONTAINER_FACTS = (
    *("duration_s", "width", "height", "rotation_deg", "average_rate_hz", "variable_rate", "video_codec"),
    *("pixel_format", "has_audio", "audio_codec", "audio_rate_hz", "audio_channels", "audio_start_s"),
    *("video_streams", "audio_streams", "declared_frames"),
)


def index_subject(unit: Unit, settings: IndexParams) -> list[Note]:
    """Put one subject's labels on the time base of its video; label row i belongs to native frame i."""
    from stages.media.container import Limits, probe

    facts = probe(unit.reads["video"], settings.count_frames, Limits(**unit.facts["limits"]))
    time_s = facts.time_s
    rows = read_labels(unit.reads["labels"]) if "labels" in unit.reads else np.empty((0, 2), np.float32)
    valence_arousal, labelled = align_labels(rows, len(time_s))
    write_arrays(
        unit.writes["index"],
        {"time_s": time_s, "valence_arousal": valence_arousal, "labelled": labelled},
        label_rows=len(rows) if "labels" in unit.reads else None,
        frames=len(time_s),
        labelled_frames=int(labelled.sum()),
        **{name: getattr(facts, name) for name in CONTAINER_FACTS},
    )
    return _label_notes(unit, settings, len(rows), len(time_s)) if "labels" in unit.reads else []


def _label_notes(unit: Unit, settings: IndexParams, rows: int, frames: int) -> list[Note]:
    surplus = rows - frames
    share = abs(surplus) / frames
    if abs(surplus) <= settings.max_label_surplus_frames and share <= settings.max_label_surplus:
        return []
    what = f"{abs(surplus)} label rows {'more' if surplus > 0 else 'fewer'} than frames"
    problem = f"{what} ({rows} rows, {frames} frames: {share:.1%}); they may belong to another video"
    remedy = f"Compare them, or raise index.max_label_surplus (now {settings.max_label_surplus:g})"
    return [unit.warn(unit.reads["labels"], problem, remedy)]


def unit_of(found: Found, workspace: Workspace, decode: DecodeParams) -> Unit:
    """What indexing one subject reads and writes; what decoding would refuse is refused here."""
    reads = {"video": found.video_file} | ({"labels": found.label_file} if found.label_file else {})
    writes = {"index": workspace.artefact("index", found.subject.name)}
    return Unit(found.subject.name, reads, writes, {"limits": decode.limits()})


def run(stage: Stage, workspace: Workspace, params: Params) -> None:
    """Index every subject whose files can be read."""
    settings = params.index
    folder = Path(settings.corpus)
    test_list = folder / settings.test_list if settings.test_list else None
    found, notes = discover(
        folder / settings.videos, folder / settings.annotations, test_list, settings.group_parts
    )
    stage.note(*notes)
    units = [unit_of(one, workspace, params.decode) for one in found]
    stage.run(index_subject, units, settings, compute=params.compute)
    kept = [one for one in found if workspace.artefact("index", one.subject.name).is_file()]
    videos = {one.subject.video: one.video_file.as_posix() for one in kept}
    counts = {one.subject.name: read_facts(workspace.artefact("index", one.subject.name)) for one in kept}
    workspace.write_corpus(
        Corpus([one.subject for one in kept], videos), facts=counts, source=settings.corpus
    )
    stage.claim(workspace.corpus_file)


def index() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    strict = params.index.on_bad_input == "fail"
    with Stage("index", workspace.folder("index"), strict=strict) as stage:
        run(stage, workspace, params)


if __name__ == "__main__":
    main("index")
