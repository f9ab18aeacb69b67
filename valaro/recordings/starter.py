"""The starter model, and which models are used where none are named.

The starter comes with Valaro: a small static model of real faces, in the form that `valaro export-model`
writes. It lies in the package, so that a wheel holds it too; `models/starter` is a link to it.
"""

from pathlib import Path

from stages.core.corpus import is_sample
from valaro.recordings.trained import corpus_of, default_models
from valaro.systems import BEST

STARTER = Path(__file__).resolve().parents[1] / "starter"
STARTER_SYSTEM = "static"
STARTER_NOTICE = (
    "expression-based estimate by the starter model (FER+); not trained on continuous ratings of videos"
)
"""The notice that every result of the starter must carry."""


def models_unless_named(system: str = BEST) -> Path:
    """The models that are used where none are named.

    Those of the repository, or of the checkout, if they learnt from a real corpus; else the starter. A system
    that the starter hasn't is looked for in the repository whatever it learnt from.

    Args:
        system: that is wanted.
    """
    trained = default_models()
    corpus = corpus_of(trained)
    if system not in (BEST, STARTER_SYSTEM) or not STARTER.is_dir():
        return trained
    return STARTER if corpus is None or is_sample(corpus) else trained
