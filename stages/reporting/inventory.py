"""The models that a run trained: their files, parameters and outputs, and what was measured in training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stages.core.artefacts import read_json
from stages.core.corpus import Workspace
from stages.core.measures import SCORED, TARGETS
from stages.core.params import (
    AudioParams,
    CrossAttentionParams,
    DecodeParams,
    DynamicParams,
    EmbedParams,
    FacesParams,
    FinetuneParams,
    FuseParams,
    KelmParams,
    PretrainParams,
    SmoothParams,
    SpeechParams,
    VoiceParams,
)
from stages.core.systems import FUSIONS
from stages.corpora.table import EMOTIONS
from stages.exports.card import VALENCE_AROUSAL, Measured
from stages.reporting.results import read_epoch

FACES = ("decode", "faces")
VOICES = ("decode", "faces", "voice", "speech")
TRAINED = "Trained on the training split of {corpus}; the validation split chose the epoch."
FLATTERED = "Measured on validation at the epoch that was kept; such figures chose it, so they flatter it."


@dataclass(frozen=True)
class Made:
    """The parameters that the models of a run are made by."""

    decode: DecodeParams
    faces: FacesParams
    voice: VoiceParams
    speech: SpeechParams
    pretrain: PretrainParams
    finetune: FinetuneParams
    embed: EmbedParams
    dynamic: DynamicParams
    kelm: KelmParams
    audio: AudioParams
    cross_attention: CrossAttentionParams
    smooth: SmoothParams
    fuse: FuseParams


@dataclass(frozen=True)
class Model:
    """One trained model, and what its card says beyond what all say.

    Args:
        name: as its weights below `models/`: `static/efficientnet_b1`, `dynamic`, `fusion/...`.
        files: below `models/`.
        sections: of the parameters that made it, in the pipeline's order.
        output: range and order, in Markdown.
        learnt: how the corpus was used; `{corpus}` stands for its name.
        chosen: what `measured` was taken on, and what was chosen by it.
        measured: figures of the training, on validation.
        seen: what it learnt from, counted.
        system: as the evaluation knows it; "" where it scores no trace of this model.
        sees: the backbone of the faces it looks at, or of their embeddings; "" for none.
        hears: whether it is given sound, or features of sound.
        within: whether the backbones are in its files.
        task: as the hub names it.
    """

    name: str
    files: tuple[str, ...]
    sections: tuple[str, ...]
    output: tuple[str, ...]
    learnt: str
    chosen: str = ""
    measured: tuple[Measured, ...] = ()
    seen: Mapping[str, int] = field(default_factory=dict)
    system: str = ""
    sees: str = ""
    hears: bool = False
    within: bool = False
    task: str = "video-classification"


def models_of(workspace: Workspace, made: Made) -> Iterator[Model]:
    """Every model of the run, in the pipeline's order."""
    yield from (_pretrained(workspace, backbone, made) for backbone in made.finetune.compare)
    yield from (_static(workspace, backbone, made) for backbone in made.finetune.compare)
    yield _dynamic(workspace, made)
    yield from (_kelm(workspace, functionals, made) for functionals in made.kelm.compare)
    yield from (_audio(workspace, version, made) for version in made.audio.compare)
    yield _cross_attention(workspace, made)
    yield from (_fusion(fusion, made) for fusion in FUSIONS)


def _pretrained(workspace: Workspace, backbone: str, made: Made) -> Model:
    figures = _figures(workspace, f"pretrain/{backbone}/metrics.json")
    corpora: dict[str, dict[str, int]] = figures["corpora"]
    reason, start = figures.get("reason"), figures["start"]
    learnt = f"Nothing was learnt: {reason}. These are {start}, as they were; its output means nothing."
    if not reason:
        learnt = f"Trained on {', '.join(corpora)}, each split by speaker. It began with {start}."
    epoch = None if reason else figures["best"]["score"]["epoch"]
    return Model(
        name=f"pretrained_static/{backbone}",
        files=(f"pretrained_static/{backbone}.safetensors",),
        sections=("faces", "pretrain", "finetune"),
        output=_static_output(made, emotions=not reason),
        learnt=learnt,
        chosen="" if reason else f"{FLATTERED} Validation is a share of the speakers of those corpora.",
        measured=tuple(Measured(_words(name), value, epoch) for name, value in _scores(figures)),
        seen={} if reason else _summed(corpora),
        sees=backbone,
        within=True,
        task="image-classification",
    )


def _static(workspace: Workspace, backbone: str, made: Made) -> Model:
    figures = _figures(workspace, f"finetune/{backbone}/metrics.json")
    epoch: int = figures["best"]["mean_rmse"]["epoch"]
    curves = read_epoch(workspace.metrics(f"finetune/{backbone}/plots/validation"), epoch)
    wanted = [f"{target}_{score}" for score in ("rmse", "ccc") for target in SCORED]
    return Model(
        name=f"static/{backbone}",
        files=(f"static/{backbone}.safetensors",),
        sections=(*FACES, "pretrain", "finetune"),
        output=_static_output(made, emotions=False),
        learnt=f"{TRAINED} It began with `pretrained_static/{backbone}`.",
        chosen=f"{FLATTERED} They are over images with a label and a face, each by itself (table 3).",
        measured=tuple(Measured(_words(name), curves[name], epoch) for name in wanted if name in curves),
        seen=_counted(figures, "train_images", "validation_images"),
        sees=backbone,
        within=True,
        task="image-classification",
    )


def _dynamic(workspace: Workspace, made: Made) -> Model:
    figures = _figures(workspace, "dynamic/metrics.json")
    steps = round(made.dynamic.window_s * made.decode.fps_hz)
    return Model(
        name="dynamic",
        files=_by_target("dynamic"),
        sections=(*FACES, "finetune", "embed", "dynamic"),
        output=_two_files(f"a window of {steps} embeddings, {made.decode.fps_hz:g} a second"),
        learnt=TRAINED,
        chosen=f"{FLATTERED} They are over all labelled frames of whole videos.",
        measured=_best_of(figures),
        seen=_counted(figures, "windows"),
        system="dynamic",
        sees=made.embed.backbone,
    )


def _kelm(workspace: Workspace, functionals: str, made: Made) -> Model:
    figures = _figures(workspace, f"kelm/{functionals}.json")
    choice = figures["choice"]
    flattered = " They flatter it: C and gamma were chosen by them." if choice["optimistic"] else ""
    return Model(
        name=f"kelm/{functionals}",
        files=(f"kelm/{functionals}.safetensors",),
        sections=(*FACES, "finetune", "embed", "kelm"),
        output=(
            f"Two values for every window of {made.kelm.window_s:g} s, in this order:",
            "",
            *VALENCE_AROUSAL,
            "",
            "A machine's values have no bounds; the pipeline cuts them at -1 and 1.",
        ),
        learnt=f"Trained on the training split of {{corpus}}; C and gamma were chosen on {choice['on']}.",
        chosen=f"Measured on validation, over all labelled frames of whole videos (table 4).{flattered}",
        measured=_named_ccc(figures["validation"]),
        seen=_counted(figures, "windows"),
        system="kelm" if functionals == made.kelm.functionals else "",
        sees=made.embed.backbone,
    )


def _audio(workspace: Workspace, version: str, made: Made) -> Model:
    figures = _figures(workspace, f"audio/{version}/metrics.json")
    epoch: int = figures["best"]["speaking_window_mean_ccc"]["epoch"]
    ccc = figures["speaking_window_ccc"]
    return Model(
        name=f"audio/{version}",
        files=(f"audio/{version}.safetensors",),
        sections=(*VOICES, "audio"),
        output=(
            f"Two values for every step of a window of {made.speech.window_s:g} s of sound, mono, at",
            f"{made.voice.rate_hz} Hz, {made.decode.fps_hz:g} steps a second; in order, both from -1 to 1:",
            "",
            *VALENCE_AROUSAL,
        ),
        learnt=TRAINED,
        chosen=f"{FLATTERED} They are over windows of speaking time, each by itself (table 2).",
        measured=tuple(Measured(f"CCC, {target}", ccc[target], epoch) for target in SCORED),
        seen=_counted(figures, "windows", "validation_windows"),
        system="audio" if version == made.audio.version else "",
        hears=True,
        within=True,
        task="audio-classification",
    )


def _cross_attention(workspace: Workspace, made: Made) -> Model:
    figures = _figures(workspace, "cross_attention/metrics.json")
    return Model(
        name="cross_attention",
        files=_by_target("cross_attention"),
        sections=(*VOICES, "finetune", "embed", "dynamic", "audio", "cross_attention"),
        output=_two_files(f"{made.cross_attention.window_s:g} s of features of face and voice"),
        learnt=TRAINED,
        chosen=f"{FLATTERED} They are over all labelled frames of whole videos with sound.",
        measured=_best_of(figures),
        seen=_counted(figures, "windows", "validation_subjects"),
        system="cross_attention",
        sees=made.embed.backbone,
        hears=True,
    )


def _fusion(fusion: str, made: Made) -> Model:
    systems = ", ".join(f"`{system}`" for system in FUSIONS[fusion].systems)
    return Model(
        name=f"fusion/{fusion}",
        files=(f"fusion/{fusion}.safetensors",),
        sections=("smooth", "fuse"),
        output=(
            f"{FUSIONS[fusion].holds} the smoothed traces of {systems}, in this order. For every",
            "native frame two values, in this order, both from -1 to 1:",
            "",
            *VALENCE_AROUSAL,
        ),
        learnt="Fitted on the validation split of {corpus}.",
        system=fusion,
        sees=made.embed.backbone,
        hears=True,
    )


def _static_output(made: Made, *, emotions: bool) -> tuple[str, ...]:
    bounds = ", both from -1 to 1" if made.finetune.tanh_output else ", near -1 to 1 but not bounded"
    logits = f"8 logits for {', '.join(EMOTIONS)}, in this order"
    return (
        f"For every image an embedding, 256 values from -1 to 1, and two values, in this order{bounds}:",
        "",
        *VALENCE_AROUSAL,
        "",
        f"With them come {logits}."
        if emotions
        else f"Its {logits}, were not taught here: they mean nothing.",
    )


def _two_files(given: str) -> tuple[str, ...]:
    return (
        f"Two values for every step of {given}, in this order, both from -1 to 1:",
        "",
        *VALENCE_AROUSAL,
        "",
        "Valence is taken from `valence.safetensors`, the weights best at it, arousal from the other file.",
    )


def _by_target(folder: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{part}.safetensors" for part in ("valence", "arousal", "normalisation"))


def _figures(workspace: Workspace, file: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(workspace.metrics(file))
    return found


def _best_of(figures: Mapping[str, Any]) -> tuple[Measured, ...]:
    best = {target: figures["best"][f"{target}_ccc"] for target in TARGETS}
    return tuple(Measured(f"CCC, {name}", found["value"], found["epoch"]) for name, found in best.items())


def _named_ccc(figures: Mapping[str, float]) -> tuple[Measured, ...]:
    return tuple(Measured(f"CCC, {target}", figures[f"{target}_ccc"]) for target in SCORED)


def _scores(figures: Mapping[str, Any]) -> list[tuple[str, float]]:
    return sorted(figures.get("scores", {}).items())


def _words(score: str) -> str:
    """`valence_ccc` as a card writes it."""
    target, _, measure = score.rpartition("_")
    return f"{measure.upper()}, {target}" if measure in ("ccc", "rmse") else score.replace("_", " ")


def _counted(figures: Mapping[str, int], *names: str) -> dict[str, int]:
    return {name.replace("_", " "): figures[name] for name in names}


def _summed(corpora: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    names = ("speakers", "train_images", "validation_images")
    return {name.replace("_", " "): sum(counts[name] for counts in corpora.values()) for name in names}
