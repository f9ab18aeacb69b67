"""Arrays are read once while there is room for them, and again and again where there is none."""

import numpy as np

from stages.training.kept import Kept


def test_what_fits_is_read_once() -> None:
    asked: list[str] = []

    def read(name: str) -> tuple[np.ndarray, None]:
        asked.append(name)
        return np.full(int(name), 1, np.uint8), None

    kept = Kept(read, most_bytes=10)
    for name in ("6", "5", "4", "6", "5", "4", "1"):
        assert len(kept(name)[0]) == int(name)
    assert asked == ["6", "5", "4", "5", "1"]
