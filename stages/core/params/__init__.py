"""The parameters: typed sections, validated before any work.

`params.yaml` has the active parameters; `profiles/` has complete, commented sets. Unknown keys are refused;
an error names the key, the value and the valid range.

    sections.py     common types
    perception.py   reading the videos: index, decode, faces, mouth, voice, speech
    learning.py     training: pretrain, finetune, embed, dynamic, kelm, audio, cross_attention
    results.py      use of the predictions: smooth to predict; compute, app
    reading.py      all sections together, and the parameter file
"""

from stages.core.params.learning import (
    AudioParams,
    AudioVersion,
    Augmentation,
    BackboneParams,
    BatchAugmentation,
    CrossAttentionParams,
    DynamicParams,
    EmbedParams,
    FinetuneParams,
    KelmParams,
    Phase,
    PretrainParams,
    Statistics,
    WaveAugmentation,
)
from stages.core.params.perception import (
    DecodeParams,
    DetectionParams,
    FacesParams,
    IndexParams,
    MouthParams,
    SpeechParams,
    VoiceParams,
)
from stages.core.params.reading import PARAMS_FILE, Params, explain, load_params
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
from stages.core.section import Section

__all__ = [
    "PARAMS_FILE",
    "AppParams",
    "AudioParams",
    "AudioVersion",
    "Augmentation",
    "BackboneParams",
    "BatchAugmentation",
    "ComputeParams",
    "CrossAttentionParams",
    "CrossfitParams",
    "DecodeParams",
    "DetectionParams",
    "DynamicParams",
    "EmbedParams",
    "EvaluateParams",
    "FacesParams",
    "FinetuneParams",
    "FuseParams",
    "IndexParams",
    "IntervalParams",
    "KelmParams",
    "MouthParams",
    "Params",
    "Phase",
    "PredictParams",
    "PretrainParams",
    "Section",
    "SmoothParams",
    "SpeechParams",
    "Statistics",
    "SubmissionParams",
    "VoiceParams",
    "WaveAugmentation",
    "explain",
    "load_params",
]
