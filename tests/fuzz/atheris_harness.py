"""Coverage-guided fuzzing of one reader, by Atheris and libFuzzer.

    python tests/fuzz/atheris_harness.py READER [-runs=10000] [libFuzzer's options] [FOLDER OR FILE ...]

The readers are those of `targets.py`; without a name they are listed. Needs `pip install atheris`, which no
other test does. A folder named after the options keeps what was found for the next run; a file is read once
more, to see its failure again.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import atheris

with atheris.instrument_imports(include=["stages"]):
    from tests.fuzz.targets import READERS, attempt


def main(name: str, options: list[str]) -> None:
    """Feed the reader until libFuzzer's options end it, or a promise is broken."""
    reader = READERS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"edited{reader.suffix}"
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        (corpus / "seed").write_bytes(reader.seed(path))
        files = [] if any(Path(option).is_file() for option in options) else [str(corpus)]
        atheris.Setup(
            [sys.argv[0], "-timeout=30", "-rss_limit_mb=4000", "-len_control=0", *options, *files],
            lambda content: attempt(reader, path, content) and None,
        )
        atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(f"Give one of: {', '.join(READERS)}")
    main(sys.argv[1], sys.argv[2:])
