"""One core of OpenVINO per process, and nobody makes another."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stages.inference.runtime import openvino_core


def test_threads_share_one_core() -> None:
    with ThreadPoolExecutor(8) as pool:
        cores = list(pool.map(lambda _: openvino_core(), range(32)))
    assert len({id(core) for core in cores}) == 1


def test_every_graph_is_compiled_with_it(repository: Path) -> None:
    """One made elsewhere would meet threads before it is set up."""
    made = [
        path.name
        for folder in ("stages", "valaro")
        for path in (repository / folder).rglob("*.py")
        if "openvino.Core()" in path.read_text(encoding="utf-8")
    ]
    assert made == ["runtime.py"]
