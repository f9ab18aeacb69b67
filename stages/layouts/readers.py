"""Read a corpus in the layout that the parameters name; `stages.core.layouts` describes each layout."""

from collections.abc import Callable, Mapping

from stages.core.params import IndexParams
from stages.layouts import affwild2, table
from stages.layouts.listing import Listing

Reader = Callable[[IndexParams, str | None], Listing]
"""(section `index`, `submission.sample_file`) -> the content of the corpus."""

READERS: Mapping[str, Reader] = {
    "affwild2": affwild2.list_corpus,
    "table": table.list_corpus,
}
"""Layout, a name of `stages.core.layouts.LAYOUTS` -> its reader."""


def list_corpus(settings: IndexParams, sample_file: str | None) -> Listing:
    """List everything usable in the corpus, with notes on the rest.

    Args:
        settings: the section `index`; `layout` chooses the reader.
        sample_file: the organisers' sample submission (`submission.sample_file`).

    Raises:
        ValaroError: nothing is usable, or a file that a parameter names is missing.
        BadInput: a list or a table isn't valid.
    """
    return READERS[settings.layout](settings, sample_file)
