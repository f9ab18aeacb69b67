"""Read the corpus in the layout that the parameters name; `stages.core.layouts` describes each one."""

from collections.abc import Callable, Mapping

from stages.core.params import IndexParams
from stages.layouts import affwild2, table
from stages.layouts.listing import Listing

Reader = Callable[[IndexParams, str | None], Listing]
"""The section `index` and `submission.sample_file` -> what is in the corpus."""

READERS: Mapping[str, Reader] = {
    "affwild2": affwild2.list_corpus,
    "table": table.list_corpus,
}
"""One for each of `LAYOUTS`."""


def list_corpus(settings: IndexParams, sample_file: str | None) -> Listing:
    """Everything usable in the corpus, and notes on the rest.

    Args:
        settings: the section `index`; `layout` chooses the reader.
        sample_file: the organisers' sample submission (`submission.sample_file`).

    Raises:
        ValaroError: there is nothing to work on, or a file that a parameter names is missing.
        BadInput: a list or a table isn't one.
    """
    return READERS[settings.layout](settings, sample_file)
