"""Make the corpora and weights reachable, also from the copies of the repository that experiments run in.

    python -m stages.inputs          (dvc repro inputs)

Reads   <index.corpus>, <pretrain.corpora>, models/pretrained      that they are there, not what they hold
Writes  data/inputs.json                                           the places looked at (not in DVC's cache)
Params  index.corpus, .videos, .annotations, .lists; pretrain.corpora

`dvc exp run --temp` and `--queue` work in a copy of what git and DVC track. A corpus that git ignores isn't
in it: here a link to the main checkout's takes its place (DVC names that checkout in DVC_ROOT). In the main
checkout nothing is changed.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from stages.core.artefacts import write_json
from stages.core.corpus import WITHOUT_CORPUS, is_sample
from stages.core.errors import ValaroError
from stages.core.params import load_params
from stages.core.watched import watched_folders
from stages.core.weights import PRETRAINED
from stages.engine.progress import say
from stages.engine.stage import main

FILE = Path("data/inputs.json")


def missing_here(place: Path, here: Path, there: Path) -> Iterator[Path]:
    """What of a place the main checkout has and this copy lacks: the place itself, or what lies in it.

    Args:
        place: relative to both.
        here: the copy.
        there: the main checkout.
    """
    if not os.path.lexists(here / place):
        yield from [place] if (there / place).exists() else []
    elif (here / place).is_dir() and (there / place).is_dir():
        names = sorted(path.name for path in (there / place).iterdir())
        yield from (place / name for name in names if not os.path.lexists(here / place / name))


def link_from(there: Path, here: Path, places: Iterable[Path]) -> list[Path]:
    """Link what is missing here from there; the links made.

    Raises:
        ValaroError: a link that git tracks leads nowhere from here.
    """
    made = []
    for place in places:
        if (here / place).is_symlink() and not (here / place).exists():
            raise ValaroError(
                f"{place}: a link that leads nowhere from a copy of the repository. Make it an absolute one."
            )
        for path in [*missing_here(place, here, there)]:
            (here / path).parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # outside the copy (../corpus), another experiment was faster
                (here / path).symlink_to((there / path).resolve())
                made.append(path)
    return made


def inputs() -> None:
    """Run the stage on params.yaml."""
    params = load_params()
    places = [Path(params.index.corpus), Path(params.pretrain.corpora), PRETRAINED]
    here, there = Path.cwd(), Path(os.environ.get("DVC_ROOT", ".")).resolve()
    if here.resolve() != there:
        for path in link_from(there, here, [place for place in places if not place.is_absolute()]):
            say(f"inputs: {path} is the main checkout's, {there / path}")
    corpus = places[0]
    if not corpus.exists() and not is_sample(params.index.corpus):  # its own stage generates it
        raise ValaroError(f"{corpus}: no such folder. {WITHOUT_CORPUS}")
    if not is_sample(params.index.corpus):
        watched_folders(params.index)  # DVC's own message would name neither parameter nor remedy
    write_json(FILE, [place.as_posix() for place in places])


if __name__ == "__main__":
    main("inputs")
