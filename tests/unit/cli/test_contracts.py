"""What an artefact must look like: every fault is listed, whatever the file."""

from pathlib import Path

import numpy as np

from stages.core.artefacts import write_arrays
from valaro.commands.contracts import CONTRACTS, Lengths, contract_of, faults_of


def test_offsets_without_the_images_they_point_into_are_listed(tmp_path: Path) -> None:
    times = np.arange(3) / 5
    none = np.zeros(0, np.int64)
    arrays = {"time_s": times, "frame_time_s": times, "native_time_s": times, "frame": np.arange(3)}
    arrays |= {"shift_stream": none, "shift_packet": none, "shift_s": np.zeros(0)}
    write_arrays(tmp_path / "a.h5", arrays)
    assert faults_of(tmp_path / "a.h5", CONTRACTS["decode"], ["a"], Lengths()) == [], "no frames are kept"
    arrays["jpeg_offset"] = np.zeros(1, np.int64)
    write_arrays(tmp_path / "a.h5", arrays)
    assert faults_of(tmp_path / "a.h5", CONTRACTS["decode"], ["a"], Lengths()) == ["no array jpeg"]
    write_arrays(tmp_path / "a.h5", arrays | {"jpeg": np.zeros(9, np.uint8)})
    assert faults_of(tmp_path / "a.h5", CONTRACTS["decode"], ["a"], Lengths()) == [
        "jpeg_offset doesn't fit jpeg",
    ]


def test_a_file_that_cannot_be_opened_is_one_fault(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"photos")
    (fault,) = faults_of(tmp_path / "a.h5", CONTRACTS["decode"], ["a"], Lengths())
    assert fault.startswith("damaged, or not an artefact")


def test_degraded_copies_keep_no_pictures_of_faces_and_the_recordings_do(tmp_path: Path) -> None:
    times, flags = np.arange(3) / 5, np.zeros(3, bool)
    arrays = {"time_s": times, "detected": flags, "score": times.astype(np.float32), "jump": flags}
    arrays |= {"box_xyxy": np.zeros((3, 4), np.float32), "crop_index": np.full(3, -1)}
    arrays |= {"faces_in_frame": np.zeros(3, np.int32), "others": np.zeros(3, np.uint8)}
    write_arrays(tmp_path / "a.h5", arrays)
    faults = {}
    for folder in ("degraded/noise/faces", "faces"):
        contract = contract_of(Path(folder))
        assert contract is not None
        faults[folder] = faults_of(tmp_path / "a.h5", contract, ["a"], Lengths())
    assert faults["degraded/noise/faces"] == []
    assert faults["faces"] == ["no array jpeg", "no array jpeg_offset"]
