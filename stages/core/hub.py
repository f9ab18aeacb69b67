"""Download files from the Hugging Face hub: with resumption and verification, to a given folder.

The hub's own client restarts interrupted downloads from the beginning. So it only provides the URL, the size
and the SHA-256 of a file (large files have one); `download.py` downloads it.
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
    """The hub has no such file."""


def fetch_from_hub(repository: str, file: str, target: Path, report: Report | None = None) -> None:
    """Download one file from a repository's main branch; it appears only when complete and verified.

    Args:
        repository: owner/name.
        file: its path in the repository.
        target: the local file.
        report: called with the progress of large files.

    Raises:
        MissingOnHub: there is no such repository or file.
        ValaroError: the download failed, or its content is wrong.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

    try:
        facts = get_hf_file_metadata(hf_hub_url(repository, file))
        if facts.etag and facts.size and _SHA256.fullmatch(facts.etag):
            download(facts.location, target, sha256=facts.etag, size_bytes=facts.size, report=report)
            return
        with whole(target) as partial:  # a small text file, of which the client checks the length
            shutil.copyfile(hf_hub_download(repository, file), partial)
    except (EntryNotFoundError, RepositoryNotFoundError) as error:
        raise MissingOnHub(f"{repository} on the Hugging Face hub has no {file}") from error
    except DownloadError as error:
        raise ValaroError(
            f"{file} can't be downloaded from {repository} on the Hugging Face hub ({error})"
        ) from error
    except Exception as error:  # errors of the client and of its transport have no common base class
        reason = " ".join(str(error).split())
        kind = type(error).__name__
        raise ValaroError(
            f"{file} can't be downloaded from {repository} on the Hugging Face hub ({kind}: {reason:.200})"
        ) from error
