"""The authors' published checkpoints as a trained system of ours: `valaro predict` without any training.

A system is a folder like this repository's: `models/`, and beside it the `params.yaml` that goes with them.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stages.core.artefacts import whole, write_json, write_tensors
from stages.core.errors import BadInput, ValaroError
from stages.exports.origins import PUBLISHED
from valaro.recordings.trained import corpus_of

FPS_HZ = 5.0
DYNAMIC_WINDOW = 30
"""Steps, 6 s: what their submitted predictions used (the weights fit any window)."""
STATIC = Path("static", "efficientnet_b1.safetensors")
"""Named as in the profile that goes with the checkpoints."""
LONGEST_EXPLANATION = 400

PDEM_CONFIG: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
    "conv_bias": True,
}
"""The architecture of PDEM; everything else is the library's default (paper, section 3.1)."""

HEADS: Mapping[str, dict[str, Any]] = {
    "v1": {"version": "v1", "gru_features": 256},
    "v2": {"version": "v2", "heads": [32, 16]},
    "v3": {"version": "v3", "heads": [32, 16]},
}


def import_checkpoint(kind: str, file: Path, root: Path, profile: Path) -> list[Path]:
    """Take one published state dict into the system at `root`.

    Args:
        kind: one of KINDS.
        file: `.pth` (read without running any code in it) or `.safetensors`.
        root: the system's folder; what it holds of other kinds stays.
        profile: parameters to put beside the models, where there are none.

    Returns:
        The files written.

    Raises:
        BadInput: the file can't be read, or is no checkpoint of this kind; names what is missing or differs.
        ValaroError: other models lie there.
    """
    from valaro.recordings.state_dicts import state_dict_of

    _require_theirs(root)
    state = state_dict_of(file)
    try:
        written = KINDS[kind](state, root / "models")
    except (KeyError, ValueError, RuntimeError) as error:
        problem = f"not a checkpoint of kind {kind}: {_explain(error)}"
        raise BadInput(file, problem, f"Kinds are {', '.join(KINDS)}") from None
    write_json(root / "models" / "fusion" / "provenance.json", {"corpus": PUBLISHED})
    _write_params(root / "params.yaml", profile, kind)
    return written


def _require_theirs(root: Path) -> None:
    """Models that somebody has trained are never replaced by theirs, nor mixed with them."""
    models = root / "models"
    trained = any(models.rglob("*.safetensors")) and corpus_of(models) != PUBLISHED
    if trained or (root / "dvc.yaml").is_file():
        what = "holds trained models" if trained else "is a repository, whose models the pipeline makes"
        raise ValaroError(f"{root} {what}. Choose another --out: a new folder, or one of earlier imports.")


def _write_params(path: Path, profile: Path, kind: str) -> None:
    """The profile beside the models, with the audio version that was imported last."""
    present, audio = path.is_file(), kind.startswith("audio-")
    if present and not audio:
        return
    text = (path if present else profile).read_text(encoding="utf-8")
    if audio:
        version = kind.removeprefix("audio-")
        text = re.sub(r"(?m)^(  version: )v\d", rf"\g<1>{version}", text)
        text = re.sub(
            r"(?m)^(  compare: )\[v\d[^\]]*\]", rf"\g<1>[{version}]", text
        )  # the version is one of them
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _explain(error: Exception) -> str:
    """What is missing or differs, on one line; of a whole other model only the beginning."""
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r}"
    said = " ".join(str(error).split())
    return said if len(said) <= LONGEST_EXPLANATION else f"{said[:LONGEST_EXPLANATION]} …"


def _static(state: Mapping[str, Any], models: Path) -> list[Path]:
    from stages.training.checkpoints import save_model
    from stages.vision.static_model import static_from_authors

    config = {"architecture": "efficientnet_b1", "input": "face", "image_size": 240, "tanh_output": False}
    save_model(models / STATIC, static_from_authors(state), config)
    return [models / STATIC]


def _dynamic(*targets: str) -> Callable[[Mapping[str, Any], Path], list[Path]]:
    """Their models for valence and for arousal are two files; either can serve both targets."""

    def take(state: Mapping[str, Any], models: Path) -> list[Path]:
        import numpy as np

        from stages.temporal.dynamic import dynamic_from_authors
        from stages.temporal.normalisation import Normaliser
        from stages.training.checkpoints import save_model

        model, arguments = dynamic_from_authors(state)
        config = {"model": arguments, "window": DYNAMIC_WINDOW, "fps_hz": FPS_HZ}
        paths = [models / "dynamic" / f"{target}.safetensors" for target in targets]
        for path in paths:
            save_model(path, model, config)
        normaliser = Normaliser.fit("per_video_minmax", [np.zeros((1, 1))])
        write_tensors(models / "dynamic" / "normalisation.safetensors", normaliser.to_arrays())
        return paths

    return take


def _audio(version: str) -> Callable[[Mapping[str, Any], Path], list[Path]]:
    def take(state: Mapping[str, Any], models: Path) -> list[Path]:
        from stages.audio.backbone import build_backbone
        from stages.audio.model import AudioModel, from_authors
        from stages.training.checkpoints import save_model

        model = AudioModel(build_backbone(PDEM_CONFIG), **HEADS[version])
        model.load_state_dict(from_authors(state))
        config = {"backbone": PDEM_CONFIG, "head": HEADS[version], "fps_hz": FPS_HZ, "window_s": 4.0}
        path = models / "audio" / f"{version}.safetensors"
        save_model(path, model, config)
        return [path]

    return take


KINDS: Mapping[str, Callable[[Mapping[str, Any], Path], list[Path]]] = {
    "static": _static,
    "dynamic": _dynamic("valence", "arousal"),
    "dynamic-valence": _dynamic("valence"),
    "dynamic-arousal": _dynamic("arousal"),
    "audio-v1": _audio("v1"),
    "audio-v2": _audio("v2"),
    "audio-v3": _audio("v3"),
}
"""What can be imported: the static EfficientNet-B1, the dynamic models, the three audio models."""
