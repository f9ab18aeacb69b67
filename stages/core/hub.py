"""Files of the Hugging Face hub: resumed, checked, in a folder of ours rather than in the hub's cache.

The hub's own client starts every interrupted download again from the first byte. So it is only asked where a
file lies, how long it is and what its SHA-256 is (large files have one); `download.py` fetches it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from stages.core.artefacts import whole
from stages.core.download import DownloadError, Report, download
from stages.core.errors import ValaroError

_SHA256 = re.compile(r"[0-9a-f]{64}")


class MissingOnHub(ValaroError):
    """The hub answers, and has no such file."""


def fetch_from_hub(repository: str, file: str, target: Path, report: Report | None = None) -> None:
    """Download one file of a repository's main branch; it appears only complete and verified.

    Args:
        repository: owner and name.
        file: its name there.
        target: where it goes.
        report: progress of large files.

    Raises:
        MissingOnHub: there is no such repository or file.
        ValaroError: it can't be downloaded, or its bytes are wrong.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

    try:
        facts = get_hf_file_metadata(hf_hub_url(repository, file))
        if facts.etag and facts.size and _SHA256.fullmatch(facts.etag):
            download(facts.location, target, sha256=facts.etag, size_bytes=facts.size, report=report)
            return
        with whole(target) as partial:  # a small text file: the client's own check is of its length
            shutil.copyfile(hf_hub_download(repository, file), partial)
    except (EntryNotFoundError, RepositoryNotFoundError) as error:
        raise MissingOnHub(f"the hub's {repository} has no {file}") from error
    except DownloadError as error:
        raise ValaroError(f"{file} can't be fetched from the hub's {repository} ({error})") from error
    except Exception as error:  # the client's errors and its transport's share no base class
        reason = " ".join(str(error).split())
        kind = type(error).__name__
        raise ValaroError(
            f"{file} can't be fetched from the hub's {repository} ({kind}: {reason:.200})"
        ) from error
