"""Find where the target speaks, and which windows of audio to listen to.

    python -m stages.speech          (dvc repro speech)

Reads   data/mouth/<subject>.h5      area between the lips, opening of the mouth
        data/decode/<video>.h5       whether there is any sound
        data/index/<subject>.h5      labels
Writes  data/speech/<subject>.h5     speaking (T,) bool, time_s (T,); training_window_s (W, 2): speaking,
                                     labelled and consecutive; targets (W, S, 2) and valid (W, S) at fps_hz;
                                     inference_window_s (V, 2): tiles of the whole video; has_audio, fps_hz
Params  speech

Paper, section 4.2.1: an open mouth counts as speaking (speech.rule: authors); here it has to move as well
(motion).
Windows of 4 s every 2 s; runs under 2 s are dropped.
"""

import numpy as np

from stages.audio.mouth import mouth_open
from stages.audio.speaking import gated_windows, speaking_mask, tiling_windows, window_targets
from stages.core.artefacts import read_arrays, read_facts, write_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.labels import resample_labels
from stages.core.notes import Note
from stages.core.params import SpeechParams, load_params
from stages.engine.stage import Stage, main
from stages.engine.units import Unit


def find_speech(unit: Unit, settings: SpeechParams) -> list[Note]:
    """Speaking time and audio windows of one subject."""
    mouth, facts = read_arrays(unit.reads["mouth"]), read_facts(unit.reads["decode"])
    time_s, step_s = mouth["time_s"], 1 / facts["fps_hz"]
    opened = mouth_open(
        mouth["area"],
        mouth["opening"],
        time_s,
        mouth["detected"],
        rule=settings.rule,
        window_s=settings.open_window_s,
        min_motion=settings.min_mouth_motion,
    )
    speaking = speaking_mask(time_s, opened, has_audio=facts["has_audio"], bridge_s=settings.max_closure_s)
    index = read_arrays(unit.reads["index"])
    labels, labelled = resample_labels(index["valence_arousal"], index["labelled"], index["time_s"], time_s)
    training_s = gated_windows(
        time_s,
        speaking,
        labelled,
        window_s=settings.window_s,
        hop_s=settings.hop_s,
        min_run_s=settings.min_run_s,
        step_s=step_s,
    )
    targets, valid = window_targets(training_s, time_s, labels, window_s=settings.window_s, step_s=step_s)
    inference_s = tiling_windows(
        facts["duration_s"], window_s=settings.window_s, hop_s=settings.inference_hop_s, step_s=step_s
    )
    write_arrays(
        unit.writes["speech"],
        {
            "speaking": speaking,
            "time_s": time_s,
            "training_window_s": training_s,
            "targets": targets,
            "valid": valid,
            "inference_window_s": inference_s,
        },
        has_audio=facts["has_audio"],
        fps_hz=facts["fps_hz"],
        window_s=settings.window_s,
        speaking_share=float(np.mean(speaking)) if len(speaking) else 0.0,
    )
    return []


def units(workspace: Workspace, corpus: Corpus) -> list[Unit]:
    """One unit per subject."""
    return [
        Unit(
            subject.name,
            {
                "mouth": workspace.artefact("mouth", subject.name),
                "decode": workspace.artefact("decode", subject.video),
                "index": workspace.artefact("index", subject.name),
            },
            {"speech": workspace.artefact("speech", subject.name)},
        )
        for subject in workspace.having(corpus.subjects, "mouth")
    ]


def speech() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    with Stage("speech", workspace.folder("speech")) as stage:
        stage.run(find_speech, units(workspace, workspace.corpus()), params.speech, jobs=1)


if __name__ == "__main__":
    main("speech")
