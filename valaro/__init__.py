"""Valaro: valence and arousal, frame by frame, from ordinary video.

    import valaro

    trace = valaro.predict("interview.mp4")             # a Trace
    trace.to_pandas()                                   # a row per frame
    trace.plot()                                        # both curves, with their interval
    trace.save("interview.eaf")                         # for ELAN; also csv, parquet, json, vtt, png

    for trace in valaro.predict("clips/"):              # a folder, a pattern or a list: one after the other
        print(trace)

    model = valaro.load_model("my-system", device="cpu")
    trace = valaro.predict("interview.mp4", model=model)

Errors that a user can act on are `valaro.ValaroError`, and `valaro.BadInput` where one file is at fault. The
command line, `valaro --help`, is a thin layer over this. Nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stages import __version__

if TYPE_CHECKING:
    from stages.core.errors import BadInput, ValaroError
    from valaro.model import Model, load_model
    from valaro.prediction import Predictions, RecordingWarning, predict
    from valaro.progress import Progress
    from valaro.trace import Faces, Trace

__all__ = [
    "BadInput",
    "Faces",
    "Model",
    "Predictions",
    "Progress",
    "RecordingWarning",
    "Trace",
    "ValaroError",
    "__version__",
    "load_model",
    "predict",
]

_HOMES = {
    "BadInput": "stages.core.errors",
    "Faces": "valaro.trace",
    "Model": "valaro.model",
    "Predictions": "valaro.prediction",
    "Progress": "valaro.progress",
    "RecordingWarning": "valaro.prediction",
    "Trace": "valaro.trace",
    "ValaroError": "stages.core.errors",
    "load_model": "valaro.model",
    "predict": "valaro.prediction",
}
"""Public name -> the module that is imported when the name is first asked for."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'valaro' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
