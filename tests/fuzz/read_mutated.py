"""Read mutated files in this process, whose memory is limited; a line of JSON for each kind of file.

    python tests/fuzz/read_mutated.py FIRST COUNT READER ...

Names an input before it reads it: after a crash or a hang, `NUMBER 1 READER` shows it again.
"""

import faulthandler
import json
import resource
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stages.engine.runlog import peak_mb
from tests.fuzz.targets import READERS, attempt, drawn_edits, edited

MEMORY_MIB = 8000  # of addresses, libraries included
PATIENCE_S = 30  # for one input
WARM = 0.2  # of the inputs, after which memory may grow no more


def main(first: int, count: int, name: str) -> None:
    """Read `count` files, each mutated as its number says."""
    reader, read, warm_mib = READERS[name], 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        seed = reader.seed(Path(folder) / f"seed{reader.suffix}")
        path = Path(folder) / f"edited{reader.suffix}"
        for number in range(first, first + count):
            print(name, number, flush=True)
            faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
            read += attempt(reader, path, edited(seed, drawn_edits(number)))
            if number <= first + WARM * count:
                warm_mib = peak_mb()
    faulthandler.cancel_dump_traceback_later()
    outcome = {"name": name, "inputs": count, "read": read, "grown_mib": round(peak_mb() - warm_mib, 1)}
    print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MIB << 20,) * 2)
    for each in sys.argv[3:]:
        main(int(sys.argv[1]), int(sys.argv[2]), each)
