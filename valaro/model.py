"""A trained system that is ready to predict: models, parameters, and where it computes."""

from dataclasses import dataclass, replace
from pathlib import Path

from stages.core.params import Params
from stages.engine.device import require_device
from valaro.recordings.starter import models_unless_named
from valaro.recordings.trained import Trained, find_trained
from valaro.sources import Source
from valaro.systems import BEST, require_system


@dataclass(frozen=True, repr=False)
class Model:
    """A trained system; `load_model` makes it, `valaro.predict(..., model=...)` applies it.

    Args:
        trained: what a recording goes through.
        device: `cpu`, `cuda`, `cuda:1`; None: a GPU if there is one.
    """

    trained: Trained
    device: str | None = None

    @property
    def system(self) -> str:
        """The system, or fusion of systems, that gives the trace."""
        return self.trained.system

    @property
    def trained_on(self) -> str:
        """The corpus it was trained on."""
        return self.trained.corpus

    @property
    def notice(self) -> str:
        """A sentence that must go with its values; "" for none."""
        return self.trained.notice

    @property
    def params(self) -> Params:
        """The parameters of every step."""
        return self.trained.params

    def hearing(self, track: int | None) -> "Model":
        """The same model listening to another audio track (from 1); None leaves the choice as it is."""
        return self if track is None else replace(self, trained=self.trained.hearing(track))

    def __repr__(self) -> str:
        place = f" on {self.device}" if self.device else ""
        return f"<Model {self.system}, trained on {self.trained_on}{place}>"


def load_model(
    model: Source | None = None,
    *,
    system: str = BEST,
    detector: str | None = None,
    device: str | None = None,
) -> Model:
    """Load a trained system.

    Args:
        model: a folder that `valaro export-model` wrote, or one with `models/`, or `models/` itself; None:
            the models of this repository if they learnt from a real corpus, else the starter.
        system: a system or a fusion of systems; `best`: by the evaluation's out-of-fold figure.
        detector: a face detector other than the one used in training.
        device: `cpu`, `cuda` or `cuda:1`; None: a GPU if there is one.

    Raises:
        ValaroError: something of it is missing, or there is no such system, detector or device.
    """
    require_system(system)
    if device is not None:
        require_device(device)
    folder = models_unless_named(system) if model is None else Path(model)
    return Model(find_trained(folder, system, detector), device)
