"""The hash of a folder is DVC's, whatever its files are called."""

from pathlib import Path

from valaro.commands.verify import md5_of_folder


def test_the_hash_of_a_folder_is_dvcs(tmp_path: Path) -> None:
    """Names sort as texts: "rf.grouped/a" before "rf/a", unlike the parts of their paths."""
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db.local import LocalHashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    folder = tmp_path / "fused"
    for name in ("rf/a.h5", "rf.grouped/a.h5", "rf-2/a.h5", "notes.json", "Zoë.h5"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    files = LocalFileSystem()
    _, _, tree = build(
        LocalHashFileDB(files, str(tmp_path / "cache")), str(folder), files, "md5", dry_run=True
    )
    assert tree.hash_info.value == md5_of_folder(folder)
