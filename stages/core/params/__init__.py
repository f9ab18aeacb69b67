"""The parameters: one typed section per concern, checked before any work.

`params.yaml` holds the active profile; `profiles/` the complete, commented ones. Unknown keys are refused
and an error names the key, the value and what is legal.

    sections.py     the types that the sections share
    perception.py   what is found in the videos: index, decode, faces, mouth, voice, speech
    learning.py     what is trained: pretrain, finetune, embed, dynamic, kelm, audio, cross_attention
    results.py      what is made of the predictions; compute, app
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
from stages.core.params.sections import Section

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
