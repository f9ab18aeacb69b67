"""The known corpora (paper, table 1), and which of them a folder has."""

from pathlib import Path

from stages.corpora import (
    afew_va,
    affectnet,
    emotic,
    expw,
    ferplus,
    rafdb,
    recola,
    savee,
    semaine,
    sewa,
)
from stages.corpora.table import Adapter

ADAPTERS: dict[str, Adapter] = {
    "recola": recola.samples,
    "sewa": sewa.samples,
    "semaine": semaine.samples,
    "afew_va": afew_va.samples,
    "affectnet": affectnet.samples,
    "savee": savee.samples,
    "emotic": emotic.samples,
    "expw": expw.samples,
    "ferplus": ferplus.samples,
    "rafdb": rafdb.samples,
}
"""Name of the folder below `pretrain.corpora` -> the function that reads the corpus."""


def present(corpora: Path) -> dict[str, Path]:
    """Known corpus -> its folder, for those that exist."""
    return {name: corpora / name for name in ADAPTERS if (corpora / name).is_dir()}
