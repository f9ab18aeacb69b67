"""Read and validate a parameter file; errors name the key, the value and the valid range."""

from pathlib import Path
from reprlib import Repr

from pydantic import ValidationError, model_validator

from stages.core.errors import ValaroError
from stages.core.former_params import upgraded
from stages.core.params.learning import (
    AudioParams,
    CrossAttentionParams,
    DynamicParams,
    EmbedParams,
    FinetuneParams,
    KelmParams,
    PretrainParams,
)
from stages.core.params.perception import (
    DecodeParams,
    FacesParams,
    IndexParams,
    MouthParams,
    SpeechParams,
    VoiceParams,
)
from stages.core.params.results import (
    AppParams,
    ComputeParams,
    CrossfitParams,
    EvaluateParams,
    FuseParams,
    IntervalParams,
    PredictParams,
    SmoothParams,
    SubmissionParams,
)
from stages.core.params.sections import known_names
from stages.core.section import Section
from stages.core.yaml_text import read_yaml

PARAMS_FILE = Path("params.yaml")


class Params(Section):
    """All of params.yaml."""

    index: IndexParams
    decode: DecodeParams
    faces: FacesParams
    mouth: MouthParams
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
    crossfit: CrossfitParams
    fuse: FuseParams
    intervals: IntervalParams
    evaluate: EvaluateParams
    submission: SubmissionParams
    predict: PredictParams
    compute: ComputeParams
    app: AppParams = AppParams()

    @model_validator(mode="after")
    def _fit_together(self) -> "Params":
        steps = self.dynamic.window_s * self.decode.fps_hz
        if steps < 2:
            raise ValueError(f"dynamic.window_s × decode.fps_hz is {steps:g} steps; at least 2 are needed")
        known_names("embed.backbone", [self.embed.backbone], self.finetune.compare)
        return self


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and validate a parameter file, of this version or an earlier one (`stages.core.former_params`).

    Raises:
        ValaroError: the file is missing, isn't YAML, or has an invalid value.
    """
    content = upgraded(read_yaml(path)).content
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise ValaroError(f"{path}: {explain(error)}") from None


_WORDS = (
    ("Value error, ", ""),
    ("Input should be a valid integer", "must be an integer"),
    ("Input should be a valid ", "must be a "),
    ("Input should be ", "must be "),
    ("Extra inputs are not permitted", "no such parameter"),
    ("Field required", "is missing"),
)


def _plain(message: str) -> str:
    """A message of Pydantic, reworded for users who edit params.yaml."""
    if message.startswith("Input should be a valid dictionary"):
        return "must be a section of keys and values"
    for technical, plain in _WORDS:
        message = message.replace(technical, plain)
    return message


_SHORT = Repr()
"""Limits the output: with nested aliases, a few kilobytes of YAML can stand for terabytes."""
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 80, 80


def explain(error: ValidationError) -> str:
    """All errors in one line: key, valid range and value of each."""
    faults = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or "parameters"
        message = _plain(fault["msg"])
        whole_section = fault["type"] == "missing" or isinstance(fault["input"], dict)
        faults.append(
            f"{key}: {message}"
            if whole_section
            else f"{key}: {message} (now {_SHORT.repr(fault['input']):.80})"
        )
    return "; ".join(faults) + "."
