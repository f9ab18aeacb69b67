"""Made-up trees in the layouts in which the corpora are published: a few files each, some of them bad.

Every maker lays one tree and returns what an adapter should find in it at 5 frames a second.
"""

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest

FRAMES_HZ = 5.0
Row = dict[str, Any]


class Expected(NamedTuple):
    """What an adapter should find."""

    rows: list[Row]
    """Fields of some samples, in order."""
    count: int
    """Samples in all."""
    problems: list[tuple[str, str]]
    """(end of the place, part of the problem), in any order."""


def put(path: Path, text: str = "") -> Path:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def trace(times_s: Sequence[float], raters: Sequence[float], separator: str, slope: float = 0.0) -> str:
    """A line per time: the time, then the raters' values, which rise by `slope` per second."""
    rows = [[time_s, *(value + slope * time_s for value in raters)] for time_s in times_s]
    return "\n".join(separator.join(f"{value:.4f}" for value in row) for row in rows) + "\n"


def film(path: Path, frames: int, rate_hz: int = 25) -> Path:
    """A grey film."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=rate_hz)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, rate_hz)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def recola(folder: Path) -> Expected:
    """One conversation of a second, rated by six; a broken line; ratings without a video."""
    ratings = folder / "RECOLA-Annotation" / "emotional_behaviour"
    heading, times = "time;FM1 ;FM2 ;FM3;FF1;FF2;FF3\n", [0.04 * k for k in range(26)]
    lines = trace(times, [0.0, 0.1, 0.2, 0.0, 0.1, 0.2], ";", slope=0.5).splitlines()
    lines[13] = "0.5200;0.1;what;0.1;0.1;0.1;0.1"
    put(ratings / "valence" / "P16.csv", heading + "\n".join(lines) + "\n")
    put(ratings / "arousal" / "P16.csv", heading + trace(times, [-0.6] * 6, ";"))
    put(ratings / "arousal" / "P17.csv", heading + trace(times, [0.0] * 6, ";"))
    put(folder / "RECOLA-Video-recordings" / "P16.mp4")
    source = "RECOLA-Video-recordings/P16.mp4"
    rows = [
        {"source": source, "speaker": "P16", "time_s": k / 5, "valence": 0.1 + 0.1 * k, "arousal": -0.6}
        for k in range(6)
    ]
    return Expected(rows, 6, [("valence/P16.csv:15", "not a later time"), ("arousal/P17.csv", "no video")])


def sewa(folder: Path) -> Expected:
    """A recording of the database, rated by sound and picture and by sound alone; one of a challenge."""
    own, times = folder / "SEW1101" / "Annotations", [0.0, 0.2, 0.4]
    put(own / "SEW1101_Valence_AV_Aligned.csv", "Time,A1,A2\n" + trace(times, [0.2, 0.4], ","))
    put(own / "SEW1101_Arousal_AV_Aligned.csv", "Time,A1,A2\n" + trace(times, [-0.5, -0.3], ","))
    put(own / "SEW1101_Valence_A_Aligned.csv", "Time,A1\n" + trace(times, [0.9], ","))
    put(own / "SEW1101_Arousal_A_Aligned.csv", "Time,A1\n" + trace(times, [0.9], ","))
    put(folder / "SEW1101" / "SEW1101.avi")
    put(folder / "SEW2202" / "SEW2202_Valence_V_Aligned.csv", trace(times, [0.1], ","))
    lines = [f"Devel_DE_01;{k / 10:.1f};0.3;-0.2;0.9" for k in range(3)]
    put(folder / "labels" / "Devel_DE_01.csv", "name;timeStamp;arousal;valence;liking\n" + "\n".join(lines))
    put(folder / "videos" / "Devel_DE_01.avi")
    rows = [
        {"source": "videos/Devel_DE_01.avi", "speaker": "Devel_DE_01", "valence": -0.2, "arousal": 0.3,
         "part": "validation", "time_s": k / 5} for k in range(2)
    ] + [
        {"source": "SEW1101/SEW1101.avi", "speaker": "SEW1101", "valence": 0.3, "arousal": -0.4, "part": "",
         "time_s": k / 5} for k in range(3)
    ]  # fmt: skip
    return Expected(rows, 5, [("SEW2202_Valence_V_Aligned.csv", "video is missing")])


def semaine(folder: Path) -> Expected:
    """A session rated by two people for different lengths; one without the user's video."""
    session, steps = folder / "Sessions" / "2", [0.02 * k for k in range(31)]
    put(session / "R1S1TUCPoDV.txt", trace(steps, [0.1], " "))
    put(session / "R5S1TUCPoDV.txt", trace(steps[:21], [0.5], " "))
    put(session / "R5S1TUCPoDA.txt", trace(steps, [-0.25], " "))
    put(session / "R5S1TOCPoDV.txt", trace(steps, [1.0], " "))  # of the operator
    put(session / "2008.12.05.16.03.15_User HeadAndShouldersBW_Poppy.avi")
    video = put(session / "2008.12.05.16.03.15_User HeadAndShouldersColour_Poppy.avi")
    put(folder / "Sessions" / "3" / "R1S3TUCObDV.txt", trace(steps, [0.1], " "))
    rows = [
        {"source": f"Sessions/2/{video.name}", "speaker": "2008.12.05.16.03.15", "time_s": k / 5,
         "valence": 0.3, "arousal": -0.25, "region": "any"} for k in range(3)
    ]  # fmt: skip
    return Expected(rows, 3, [("Sessions/3", "no video of the user")])


def afew_va(folder: Path) -> Expected:
    """A clip of 11 frames, two of them unusable; another's annotation is broken."""
    corners = [[10.0, 20.0], [30.0, 20.0], [30.0, 60.0], [10.0, 60.0]]
    frames = {f"{k:05d}": {"landmarks": corners, "valence": -10.0, "arousal": 2.5} for k in range(11)}
    frames["00010"] = {"landmarks": corners, "valence": 11.0, "arousal": 0.0}
    put(folder / "001" / "001.json", json.dumps({"actor": "Somebody ", "frames": frames, "video_id": "001"}))
    put(folder / "001" / "00000.png")
    put(folder / "001" / "00010.png")
    put(folder / "002" / "002.json", "{")
    first = {"source": "001/00000.png", "speaker": "somebody", "region": "face", "box_xyxy": (10, 20, 30, 60),
             "time_s": None, "valence": -1.0, "arousal": 0.25}  # fmt: skip
    return Expected(
        [first],
        1,
        [
            ("001.json: frame 00005", "00005.png is missing"),
            ("001.json: frame 00010", "11 is outside -10 to 10"),
            ("002.json", "not a clip's annotation"),
        ],
    )


def affectnet(folder: Path) -> Expected:
    """Both releases; no face, no label, no file, no such expression."""
    heading = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    for name in ("103/a.jpg", "103/b.jpg", "104/c.jpg"):
        put(folder / "Manually_Annotated_Images" / name)
    rows = ["103/a.jpg,5,6,20,30,1;2,1,0.8,0.2", "103/b.jpg,5,6,20,30,1;2,9,-2,-2",
            "104/d.jpg,5,6,20,30,1;2,0,0,0", "104/c.jpg,5,6,20,30,1;2,17,0.1,0.1",
            "104/c.jpg,NULL,NULL,NULL,NULL,NULL,10,-2,-2"]  # fmt: skip
    put(folder / "training.csv", "\n".join([heading, *rows]) + "\n")
    put(folder / "validation.csv", f"{heading}\n104/c.jpg,1,2,10,10,1;2,7,-0.5,0.5\n")
    for kind, value in (("exp", "4"), ("val", "-0.4"), ("aro", "0.6")):
        path = folder / "val_set" / "annotations" / f"7_{kind}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.array(value))
    put(folder / "val_set" / "images" / "7.jpg")
    put(folder / "val_set" / "images" / "8.jpg")
    expected = [
        {"source": "Manually_Annotated_Images/103/a.jpg", "region": "face", "box_xyxy": (5, 6, 25, 36),
         "valence": 0.8, "arousal": 0.2, "emotion": "happiness", "part": "train"},
        {"source": "Manually_Annotated_Images/104/c.jpg", "emotion": "other", "valence": -0.5,
         "part": "validation"},
        {"source": "val_set/images/7.jpg", "speaker": "val_set/images/7.jpg", "region": "whole",
         "emotion": "fear", "valence": -0.4, "arousal": 0.6, "part": "validation"},
    ]  # fmt: skip
    problems = [
        ("training.csv:4", "d.jpg is missing"),
        ("training.csv:5", "the expression is 17"),
        ("8.jpg", "its annotation"),
    ]
    return Expected(expected, 3, problems)


def savee(folder: Path) -> Expected:
    """Two actors, by folder and by name; a file that is no video; a name without speaker and emotion."""
    film(folder / "DC" / "sa01.avi", frames=11)
    film(folder / "KL_h03.avi", frames=6)
    put(folder / "JE" / "a02.avi", "no film")
    put(folder / "JE" / "notes.avi")
    sad = [
        {"source": "DC/sa01.avi", "speaker": "DC", "emotion": "sadness", "time_s": k / 5} for k in range(3)
    ]
    happy = [
        {"source": "KL_h03.avi", "speaker": "KL", "emotion": "happiness", "valence": None} for _ in range(2)
    ]
    return Expected([*sad, *happy], 5, [("JE/a02.avi", ""), ("JE/notes.avi", "no speaker or no emotion")])


def emotic_csv(folder: Path) -> Expected:
    """The tables of the public reader."""
    heading = (
        "Index,Folder,Filename,Image Size,BBox,Categorical_Labels,Continuous_Labels,Gender,Age,CatMulti\n"
    )
    rows = [
        '0,mscoco/images,a.jpg,"[640, 480]","[86, 58, 564, 628]","[\'Peace\']","[[10.0, 1.0, 5.0]]",Male,Adult\n',
        '1,mscoco/images,a.jpg,"[640, 480]","[1, 1, 50, 60]","[\'Peace\']","[[5, 6, 5], [6, 5, nan]]",Male,Adult\n',
        '2,mscoco/images,a.jpg,"[640, 480]","[9, 1, 9, 60]","[\'Peace\']","[[5.0, 6.0, 5.0]]",Male,Adult\n',
        '3,../../secret,a.jpg,"[640, 480]","[1, 1, 9, 60]","[\'Peace\']","[[5.0, 6.0, 5.0]]",Male,Adult\n',
    ]
    put(folder / "train.csv", heading + "".join(rows))
    put(folder / "val.csv", heading + rows[0].replace("[[10.0, 1.0, 5.0]]", "[[1.0, 5.5, 5.0]]"))
    put(folder / "test.csv", heading + rows[0])
    put(folder / "emotic" / "mscoco" / "images" / "a.jpg")
    source = "emotic/mscoco/images/a.jpg"
    expected = [
        {"source": source, "speaker": source, "region": "person", "box_xyxy": (86, 58, 564, 628),
         "valence": 1.0, "arousal": -1.0, "emotion": None, "part": "train"},
        {"valence": 0.0, "arousal": 0.0, "part": "train"},
        {"valence": -1.0, "arousal": 0.0, "part": "validation"},
    ]  # fmt: skip
    return Expected(expected, 3, [("train.csv:4", "is empty"), ("train.csv:5", "isn't a path")])


def emotic_mat(folder: Path) -> Expected:
    """The published structures: one person, and two; one annotator, and several with their mean."""
    from scipy.io import savemat

    def struct(**fields: Any) -> np.ndarray:
        packed = np.empty((1, 1), [(name, object) for name in fields])
        for name, value in fields.items():
            packed[name][0, 0] = value
        return packed

    def row(*structs: np.ndarray) -> np.ndarray:
        return np.concatenate(structs, axis=1)

    def rating(valence: float, arousal: float) -> np.ndarray:
        return struct(valence=valence, arousal=arousal, dominance=5.0)

    one = struct(body_bbox=[10.0, 20.0, 50.0, 90.0], annotations_continuous=rating(10, 5.5))
    two = row(
        struct(body_bbox=[1.0, 2.0, 30.0, 40.0], annotations_continuous=row(rating(1, 1), rating(10, 1))),
        struct(body_bbox=[31.0, 2.0, 60.0, 40.0], annotations_continuous=rating(12, 1)),
    )
    combined = struct(
        body_bbox=[5.0, 5.0, 9.0, 9.0],
        annotations_continuous=row(rating(1, 1), rating(1, 1)),
        combined_continuous=rating(5.5, 10),
    )
    content = {
        "train": row(
            struct(filename="a.jpg", folder="mscoco/images", person=one),
            struct(filename="b.jpg", folder="mscoco/images", person=two),
        ),
        "val": struct(filename="a.jpg", folder="mscoco/images", person=combined),
        "test": struct(filename="a.jpg", folder="mscoco/images", person=one),
    }
    (folder / "Annotations").mkdir(parents=True)
    savemat(folder / "Annotations" / "Annotations.mat", content)
    put(folder / "mscoco" / "images" / "a.jpg")
    put(folder / "mscoco" / "images" / "b.jpg")
    expected = [
        {"source": "mscoco/images/a.jpg", "box_xyxy": (10, 20, 50, 90), "valence": 1.0, "arousal": 0.0},
        {"source": "mscoco/images/b.jpg", "valence": 0.0, "arousal": -1.0, "part": "train"},
        {"source": "mscoco/images/a.jpg", "valence": 0.0, "arousal": 1.0, "part": "validation"},
    ]
    return Expected(expected, 3, [("b.jpg", "12 is outside 1 to 10")])


def expw(folder: Path) -> Expected:
    """Two faces in a picture; lines with a missing picture, an unknown label, too few words."""
    put(folder / "image" / "origin" / "awe_1.jpg")
    lines = [
        "awe_1.jpg 0 20 10 60 40 71.5 3",
        "awe_1.jpg 1 5 6 7 8 60.0 0",
        "gone.jpg 0 1 1 9 9 50.0 1",
        "awe_1.jpg 2 5 6 7 8 60.0 9",
        "awe_1.jpg 3",
    ]
    put(folder / "label" / "label.lst", "\n".join(lines) + "\n")
    source = "image/origin/awe_1.jpg"
    expected = [
        {"source": source, "speaker": "awe_1.jpg", "region": "face", "box_xyxy": (10, 20, 60, 40),
         "emotion": "happiness", "part": ""},
        {"source": source, "speaker": "awe_1.jpg", "box_xyxy": (6, 5, 7, 8), "emotion": "anger"},
    ]  # fmt: skip
    problems = [
        ("label.lst:3", "picture gone.jpg is missing"),
        ("label.lst:4", "'9'"),
        ("label.lst:5", "not enough values"),
    ]
    return Expected(expected, 2, problems)


VOTES = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"


def ferplus(folder: Path) -> Expected:
    """The published pair of tables: a clear vote, a tie, no face, contempt, the test part, bad rows."""
    rows = [
        "Training,fer0000000.png,1,7,0,1,1,0,0,0,0,0",
        "Training,fer0000001.png,5,0,0,5,0,0,0,0,0,0",
        "Training,,0,0,0,0,0,0,0,0,0,10",
        "PublicTest,fer0000003.png,1,0,0,0,0,0,0,9,0,0",
        "PrivateTest,fer0000004.png,10,0,0,0,0,0,0,0,0,0",
        "Training,fer0000005.png,x,0,0,0,0,0,0,0,0,0",
        "Training,fer0000006.png,0,0,0,0,0,0,8,0,2,0",
    ]
    put(folder / "fer2013new.csv", VOTES + "\n".join(rows) + "\n")
    lines = ["emotion,pixels,Usage", *(f"0,{' '.join([str(10 * k)] * 2304)},Training" for k in range(6))]
    put(folder / "fer2013.csv", "\n".join(lines) + "\n")
    starts = np.cumsum([0, *(len(line) + 1 for line in lines)])
    expected = [
        {"source": "fer2013.csv", "speaker": "0", "region": "whole", "emotion": "happiness", "part": "train",
         "position": int(starts[1]), "votes": (1, 1, 0, 0, 7, 1, 0, 0)},
        {"speaker": "1", "emotion": None, "part": "train", "votes": (5, 0, 0, 0, 0, 5, 0, 0)},
        {"source": "fer2013.csv", "speaker": "3", "emotion": "other", "part": "validation",
         "position": int(starts[4]), "votes": (1, 0, 0, 0, 0, 0, 0, 9)},
        {"speaker": "4", "emotion": "neutral", "part": "test", "position": int(starts[5])},
    ]  # fmt: skip
    return Expected(expected, 4, [("fer2013new.csv:7", "'x'"), ("fer2013new.csv:8", "IndexError")])


def ferplus_pictures(folder: Path) -> Expected:
    """The same votes beside unpacked pictures, one of which is missing."""
    put(folder / "fer2013new.csv", VOTES + "Training,fer0000000.png,0,0,0,0,0,9,1,0,0,0\n"
        "PublicTest,fer0000001.png,0,0,9,0,0,0,0,0,0,0\n")  # fmt: skip
    put(folder / "FER2013Train" / "fer0000000.png")
    row = {"source": "FER2013Train/fer0000000.png", "emotion": "disgust", "part": "train", "position": None}
    return Expected([row], 1, [("fer2013new.csv:3", "neither a picture")])


def rafdb(folder: Path) -> Expected:
    """An aligned picture, an original one; lines with a missing picture, an unknown label."""
    lines = ["train_00001.jpg 5", "test_0002.jpg 7", "train_00003.jpg 1", "train_00001.jpg 8"]
    put(folder / "basic" / "EmoLabel" / "list_patition_label.txt", "\n".join(lines) + "\n")
    put(folder / "basic" / "Image" / "aligned" / "train_00001_aligned.jpg")
    put(folder / "basic" / "Image" / "original" / "test_0002.jpg")
    expected = [
        {"source": "basic/Image/aligned/train_00001_aligned.jpg", "region": "whole", "emotion": "sadness",
         "part": "train"},
        {"source": "basic/Image/original/test_0002.jpg", "region": "any", "emotion": "neutral",
         "part": "validation"},
    ]  # fmt: skip
    problems = [("label.txt:3", "train_00003.jpg is missing"), ("label.txt:4", "'8'")]
    return Expected(expected, 2, problems)


TREES: dict[str, tuple[str, Callable[[Path], Expected]]] = {
    "recola": ("recola", recola),
    "sewa": ("sewa", sewa),
    "semaine": ("semaine", semaine),
    "afew_va": ("afew_va", afew_va),
    "affectnet": ("affectnet", affectnet),
    "savee": ("savee", savee),
    "emotic, tables": ("emotic", emotic_csv),
    "emotic, MATLAB": ("emotic", emotic_mat),
    "expw": ("expw", expw),
    "ferplus, pixels": ("ferplus", ferplus),
    "ferplus, pictures": ("ferplus", ferplus_pictures),
    "rafdb": ("rafdb", rafdb),
}
"""Layout -> corpus, maker of a tree."""


@pytest.fixture(params=TREES)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, Expected]:
    """(corpus, its folder, what is in it)."""
    corpus, lay = TREES[request.param]
    return corpus, tmp_path / corpus, lay(tmp_path / corpus)


@pytest.fixture
def lay() -> Callable[[str, Path], Expected]:
    """Lay the tree of a layout into a folder."""
    return lambda layout, folder: TREES[layout][1](folder)
