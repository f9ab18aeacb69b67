"""Read a corpus in the layout that the parameters name; `stages.core.layouts` describes each layout."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from stages.core.params import IndexParams
from stages.core.watched import require_watched, watched_folders
from stages.layouts import affwild2, table
from stages.layouts.leaks import leaks
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
        ValaroError: nothing is usable, a file or a folder that a parameter names is missing, or a file is in
            no folder that DVC watches.
        BadInput: a list or a table isn't valid.
    """
    watched_folders(settings)
    listing = READERS[settings.layout](settings, sample_file)
    own = [file for one in listing.found for file in (one.video_file, one.label_file) if file]
    require_watched(settings, [*listing.texts, *own])
    return replace(listing, notes=[*listing.notes, *leaks(listing.found)])
