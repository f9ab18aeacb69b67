"""A file that has changed is loaded again."""

from pathlib import Path

from stages.core.loaded import remembered


def test_it_loads_once_until_the_file_changes(tmp_path: Path) -> None:
    path, loads = tmp_path / "model", []

    @remembered
    def load(path: Path, device: str) -> str:
        loads.append(device)
        return f"{path.read_text()} on {device}"

    path.write_text("old")
    assert [load(path, "cpu"), load(path, "cpu"), load(path, "cuda")] == [
        "old on cpu",
        "old on cpu",
        "old on cuda",
    ]
    assert loads == ["cpu", "cuda"]
    new = tmp_path / "new"
    new.write_text("new")
    new.replace(path)
    assert load(path, "cpu") == "new on cpu"
    assert load(path, "cpu") == "new on cpu"
    assert loads == ["cpu", "cuda", "cpu"]
