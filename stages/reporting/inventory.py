"""The trained models of a run: their files, parameters, outputs, and metrics of their training."""

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
from stages.core.untrained import read_untrained
from stages.corpora.table import EMOTIONS
from stages.exports.card import VALENCE_AROUSAL, Measured
from stages.reporting.results import read_epoch

FACES = ("decode", "faces")
VOICES = ("decode", "faces", "voice", "speech")
TRAINED = "Trained on the training split of {corpus}; the epoch was selected on the validation split."
OPTIMISTIC = "Measured on validation at the selected epoch; it was selected by them, so they are optimistic."


@dataclass(frozen=True)
class Made:
    """The parameters of the models of a run."""

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
    """One trained model: the specific content of its card.

    Args:
        name: path of its weights in `models/`: `static/efficientnet_b1`, `dynamic`, `fusion/...`.
        files: its files in `models/`.
        sections: the sections of parameters that it was made with, in the order of the pipeline.
        output: range and order of its output, in Markdown.
        learnt: how the corpus was used; `{corpus}` stands for its name.
        chosen: what `measured` was computed on, and what was selected by it.
        measured: metrics on validation during training.
        seen: sizes of the training data.
        system: its name in the evaluation; "" if its traces aren't evaluated.
        sees: the backbone of its faces or embeddings; "" without faces.
        hears: whether its input includes sound, or features of sound.
        within: whether the backbones are in its files.
        task: the task's name on the Hugging Face hub.
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
    """Every model of the run, in the order of the pipeline; without those that couldn't be trained."""

    def there(name: str) -> bool:
        return read_untrained(workspace.model(f"{name}.safetensors")) is None

    yield from (_pretrained(workspace, backbone, made) for backbone in made.finetune.compare)
    yield from (_static(workspace, backbone, made) for backbone in made.finetune.compare)
    yield _dynamic(workspace, made)
    yield from (_kelm(workspace, functionals, made) for functionals in made.kelm.compare)
    yield from (_audio(workspace, name, made) for name in made.audio.compare if there(f"audio/{name}"))
    if there("cross_attention/valence"):
        yield _cross_attention(workspace, made)
    yield from (_fusion(fusion, made) for fusion in FUSIONS if there(f"fusion/{fusion}"))


def _pretrained(workspace: Workspace, backbone: str, made: Made) -> Model:
    figures = _figures(workspace, f"pretrain/{backbone}/metrics.json")
    corpora: dict[str, dict[str, int]] = figures["corpora"]
    reason, start = figures.get("reason"), figures["start"]
    learnt = f"Not trained: {reason}. The weights are {start}, unchanged; the output has no meaning."
    if not reason:
        learnt = f"Trained on {', '.join(corpora)}, each split by speaker. It was initialised with {start}."
    epoch = None if reason else figures["best"]["score"]["epoch"]
    return Model(
        name=f"pretrained_static/{backbone}",
        files=(f"pretrained_static/{backbone}.safetensors",),
        sections=("faces", "pretrain", "finetune"),
        output=_static_output(made, emotions=not reason),
        learnt=learnt,
        chosen="" if reason else f"{OPTIMISTIC} Validation: a share of the speakers of these corpora.",
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
        learnt=f"{TRAINED} It was initialised with `pretrained_static/{backbone}`.",
        chosen=f"{OPTIMISTIC} They are over single images with a label and a face (table 3).",
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
        chosen=f"{OPTIMISTIC} They are over all labelled frames of whole videos.",
        measured=_best_of(figures),
        seen=_counted(figures, "windows"),
        system="dynamic",
        sees=made.embed.backbone,
    )


def _kelm(workspace: Workspace, functionals: str, made: Made) -> Model:
    figures = _figures(workspace, f"kelm/{functionals}.json")
    choice = figures["choice"]
    optimistic = " They are optimistic: C and gamma were selected by them." if choice["optimistic"] else ""
    return Model(
        name=f"kelm/{functionals}",
        files=(f"kelm/{functionals}.safetensors",),
        sections=(*FACES, "finetune", "embed", "kelm"),
        output=(
            f"Two values for every window of {made.kelm.window_s:g} s, in this order:",
            "",
            *VALENCE_AROUSAL,
            "",
            "A KELM's output is unbounded; the pipeline clips it to -1 and 1.",
        ),
        learnt=f"Trained on the training split of {{corpus}}; C and gamma were selected on {choice['on']}.",
        chosen=f"Measured on validation, over all labelled frames of whole videos (table 4).{optimistic}",
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
        chosen=f"{OPTIMISTIC} They are over single windows with speech (table 2).",
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
        output=_two_files(f"{made.cross_attention.window_s:g} s of face and voice features"),
        learnt=TRAINED,
        chosen=f"{OPTIMISTIC} They are over all labelled frames of whole videos with sound.",
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
        f"Further outputs: {logits}."
        if emotions
        else f"Its {logits}, weren't trained here: they have no meaning.",
    )


def _two_files(given: str) -> tuple[str, ...]:
    return (
        f"Two values for every step of {given}, in this order, both from -1 to 1:",
        "",
        *VALENCE_AROUSAL,
        "",
        "Valence comes from `valence.safetensors`, the best weights for it; arousal from the other file.",
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
    """A score's name on a card, e.g. `CCC, valence` for `valence_ccc`."""
    target, _, measure = score.rpartition("_")
    return f"{measure.upper()}, {target}" if measure in ("ccc", "rmse") else score.replace("_", " ")


def _counted(figures: Mapping[str, int], *names: str) -> dict[str, int]:
    return {name.replace("_", " "): figures[name] for name in names}


def _summed(corpora: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    names = ("speakers", "train_images", "validation_images")
    return {name.replace("_", " "): sum(counts[name] for counts in corpora.values()) for name in names}
