"""Index the corpus: videos, subjects, splits, labels on the time base, container facts, warnings.

    python -m stages.index          (dvc repro index)

Reads   <index.corpus>                      videos, annotations and lists, wherever they lie below it
Writes  data/index/<subject>.h5             time_s (N,) native frames, valence_arousal (N, 2) float32
                                            (NaN where unlabelled), labelled (N,), row (N,): the label row of
                                            each frame; container facts
        data/index/corpus.json              subjects, splits, videos, counts; source: the corpus' folder;
                                            sample_rows: the organisers' rows per test subject, in their order
        data/index/notes.json               what was set aside or looks odd, with reason and remedy
Params  index; submission.sample_file; decode.max_* (the limits)

All that the last stage needs is checked here, before anything is computed: annotations, test list, sample
submission, and what fusion and cross-validation need at least.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from stages.core.arrays import Floats, Integers
from stages.core.artefacts import read_facts, write_arrays
from stages.core.corpus import LEAST_RECORDINGS, SPLITS, Corpus, Workspace
from stages.core.labels import RowMatch, align_labels, match_rows, read_labels
from stages.core.notes import Note
from stages.core.params import DecodeParams, IndexParams, Params, load_params
from stages.engine.progress import say
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.layouts.listing import Found
from stages.layouts.readers import list_corpus

if TYPE_CHECKING:
    from stages.media.container import ContainerFacts

CONTAINER_FACTS = (
    *("duration_s", "width", "height", "rotation_deg", "average_rate_hz", "variable_rate", "video_codec"),
    *("pixel_format", "has_audio", "audio_codec", "audio_rate_hz", "audio_channels", "audio_start_s"),
    *("audio_track", "video_streams", "audio_streams", "declared_frames", "video_start_s", "dynamic_range"),
)


def index_subject(unit: Unit, settings: IndexParams) -> list[Note]:
    """Put one subject's labels on the time base of its video; `core.labels` says which row is whose."""
    from stages.media.container import probe
    from stages.media.limits import Limits
    from stages.media.scan import Hearing

    limits, hearing = Limits(**unit.facts["limits"]), Hearing(**unit.facts["hearing"])
    facts = probe(unit.reads["video"], settings.count_frames, limits, hearing)
    time_s = facts.time_s
    labels = read_labels(unit.reads["labels"]) if "labels" in unit.reads else np.empty((0, 2), np.float32)
    rows = len(labels) if "labels" in unit.reads else unit.facts["rows_expected"] or len(time_s)
    match = match_rows(rows, slots_of(facts), facts.declared_frames)
    valence_arousal, labelled = align_labels(labels, match.row)
    write_arrays(
        unit.writes["index"],
        {"time_s": time_s, "valence_arousal": valence_arousal, "labelled": labelled, "row": match.row},
        label_rows=len(labels) if "labels" in unit.reads else None,
        frames=len(time_s),
        labelled_frames=int(labelled.sum()),
        **{name: getattr(facts, name) for name in CONTAINER_FACTS},
    )
    notes = [*_row_notes(unit, settings, rows, facts, match)]
    return [*notes, *_value_notes(unit, valence_arousal[labelled])] if "labels" in unit.reads else notes


def slots_of(facts: "ContainerFacts") -> Integers:
    """The slot of each native frame by a clock that ticks once a frame (AVI); else 0 .. N - 1.

    Shape: -> (N,).
    """
    ticks: Integers = np.rint(facts.time_s / float(facts.time_base)).astype(np.int64)
    if facts.stamped and len(ticks) > 1 and np.median(np.diff(ticks)) == 1:
        return ticks + max(0, facts.origin_pts)
    return np.arange(len(ticks))


def _row_notes(
    unit: Unit, settings: IndexParams, rows: int, facts: "ContainerFacts", match: RowMatch
) -> Iterator[Note]:
    """What is odd about the number of rows; a difference that most of Aff-Wild2's subjects have isn't."""
    file, frames = unit.reads.get("labels", unit.reads["video"]), facts.frame_count
    if match.by_slot:
        problem = (
            f"the camera dropped {facts.declared_frames - frames} of {facts.declared_frames} frames; "
            f"its {rows} rows are counted with them"
        )
        yield unit.warn(file, problem, "Nothing to do: each row is on its frame's time")
        return
    if not match.off_rows:
        return
    surplus = rows - frames
    share = abs(surplus) / frames
    if abs(surplus) > settings.max_label_surplus_frames or share > settings.max_label_surplus:
        of_what = "label rows" if "labels" in unit.reads else "rows of the sample submission"
        what = f"{abs(surplus)} {of_what} {'more' if surplus > 0 else 'fewer'} than frames"
        off = f"up to {match.off_rows} frames, {match.off_rows / facts.average_rate_hz:.1f} s"
        problem = f"{what} ({rows} rows, {frames} frames: {share:.1%}); labels may be off by {off}"
        remedy = f"Compare them, or raise index.max_label_surplus (now {settings.max_label_surplus:g})"
        yield unit.warn(file, problem, remedy)


def _value_notes(unit: Unit, labels: Floats) -> Iterator[Note]:
    """Labels without information. Shape: (L, 2), the labelled ones."""
    if not len(labels):
        yield unit.warn(
            unit.reads["labels"], "every row is -5: nothing is labelled", "Nothing to do: not fitted on"
        )
    elif len(labels) > 1 and (labels == labels[0]).all():
        valence, arousal = labels[0].tolist()
        problem = f"all {len(labels)} labels are {valence:g}, {arousal:g}"
        yield unit.warn(unit.reads["labels"], problem, "Nothing to do: they count as they are")


def unit_of(found: Found, workspace: Workspace, decode: DecodeParams) -> Unit:
    """What indexing one subject reads and writes; what decoding would refuse is refused here."""
    reads = {"video": found.video_file} | ({"labels": found.label_file} if found.label_file else {})
    writes = {"index": workspace.artefact("index", found.subject.name)}
    facts = {"limits": decode.limits(), "hearing": decode.hearing(), "rows_expected": found.rows_expected}
    return Unit(found.subject.name, reads, writes, facts)


def run(stage: Stage, workspace: Workspace, params: Params) -> None:
    """Index every subject whose files can be read."""
    settings = params.index
    listing = list_corpus(settings, params.submission.sample_file)
    for line in listing.summary:
        say(f"index: {line}")
    stage.note(*listing.notes)
    units = [unit_of(one, workspace, params.decode) for one in listing.found]
    stage.run(index_subject, units, settings, compute=params.compute)
    kept = [one for one in listing.found if workspace.artefact("index", one.subject.name).is_file()]
    if len(kept) < listing.annotations:
        say(f"index: {len(kept)} of {listing.annotations} annotations usable")
    videos = {one.subject.video: one.video_file.as_posix() for one in kept}
    counts = {one.subject.name: read_facts(workspace.artefact("index", one.subject.name)) for one in kept}
    corpus = Corpus([one.subject for one in kept], videos)
    workspace.write_corpus(
        corpus, facts=counts, source=settings.corpus, sample_rows=[*listing.sample_rows.items()]
    )
    stage.claim(workspace.corpus_file)
    labelled = {name for name, facts in counts.items() if facts["labelled_frames"]}
    stage.note(*_too_few(settings.corpus, corpus, labelled))


def _too_few(source: str, corpus: Corpus, labelled: set[str]) -> Iterator[Note]:
    """Splits that have fewer labelled recordings than later stages need."""
    for split in SPLITS[:2]:
        recordings = {each.recording for each in corpus.of(split) if each.name in labelled}
        if len(recordings) < (least := LEAST_RECORDINGS[split]):
            problem = f"{len(recordings)} labelled recordings of the {split} split; {least} are needed"
            yield Note(split, source, problem, f"Add some: {NEEDED_FOR[split]} will fail")


NEEDED_FOR = {"train": "kelm", "validation": "fuse"}


def index() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    strict = params.index.on_bad_input == "fail"
    with Stage("index", workspace.folder("index"), strict=strict) as stage:
        run(stage, workspace, params)


if __name__ == "__main__":
    main("index")
