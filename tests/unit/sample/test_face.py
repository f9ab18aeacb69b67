"""The drawn face, read back without the code that drew it."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def person():
    from data.sample.face import Person
    from data.sample.looks import draw_looks

    rng = np.random.default_rng(5)
    return Person(draw_looks(rng, (140, 140)), (216, 292), (432, 336), rng)


def picture(person, valence=0.0, arousal=0.0, jaw=0.0, pose=(0, 0, 0, 0, 0), shift_px=0):
    from data.sample.expressions import coefficients

    image = np.full((336, 432, 3), 128, dtype=np.uint8)
    muscles = coefficients(np.array([[valence, arousal]]), np.zeros(1))[0]
    person.draw(image, muscles, jaw, np.array(pose, dtype=float), shift_px)
    return image


@pytest.fixture(scope="module")
def landmarks():
    """FaceMesh, an oracle that knows nothing of how the face was drawn. Shape: (478, 2), pixels."""
    from mediapipe.python.solutions.face_mesh import FaceMesh

    with FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=1) as mesh:

        def find(image):
            faces = mesh.process(image).multi_face_landmarks
            assert faces, "no face found"
            return np.array([(p.x * image.shape[1], p.y * image.shape[0]) for p in faces[0].landmark])

        yield find


def lips_open_px(points):
    return points[14, 1] - points[13, 1]


def corners_up_px(points):
    return points[[13, 14], 1].mean() - points[[61, 291], 1].mean()


def brows_up_px(points):
    return points[[159, 386], 1].mean() - points[[105, 334], 1].mean()


def eyes_open_px(points):
    return points[[145, 374], 1].mean() - points[[159, 386], 1].mean()


def test_the_mouth_is_shut_at_rest_and_opens_with_the_jaw(person, landmarks):
    opening = [lips_open_px(landmarks(picture(person, jaw=jaw))) for jaw in (0.0, 0.3, 0.6, 0.9)]
    assert opening[0] < 1.5
    assert (np.diff(opening) > 2).all()


@pytest.mark.parametrize(
    ("measure", "low", "high", "at_least_px"),
    [
        (corners_up_px, {"valence": -0.9}, {"valence": 0.9}, 6),
        (brows_up_px, {"arousal": -0.9}, {"arousal": 0.9}, 3),
        (eyes_open_px, {"arousal": -0.9}, {"arousal": 0.9}, 2),
    ],
)
def test_the_face_shows_what_is_felt(person, landmarks, measure, low, high, at_least_px):
    assert (
        measure(landmarks(picture(person, **high))) - measure(landmarks(picture(person, **low))) > at_least_px
    )


def test_the_face_is_as_wide_as_asked(person, landmarks):
    points = landmarks(picture(person))
    assert points[454, 0] - points[234, 0] == pytest.approx(140, rel=0.08)


def test_feelings_change_nothing_but_the_face(person):
    calm, excited = picture(person, -0.9, -0.9), picture(person, 0.9, 0.9, jaw=0.9)
    changed = np.flatnonzero((calm != excited).any(axis=2).any(axis=0))
    assert changed.min() > 216 - 100
    assert changed.max() < 216 + 100
    rows = np.flatnonzero((calm != excited).any(axis=2).any(axis=1))
    assert rows.max() < 312  # where the collar dips, below the neck
    assert calm.mean() == pytest.approx(excited.mean(), abs=1.5)  # brightness is no cue


def test_whoever_leaves_is_gone(person):
    assert (picture(person, shift_px=432) == 128).all()
