"""Feelings and what they do to speech: ranges, bands, independence."""

import numpy as np
import pytest

RATE_HZ = 100


def draw(seed, seconds=12.0, mean=(0.0, 0.0)):
    from data.sample.trajectories import draw_affect, draw_talking, perform

    rng = np.random.default_rng(seed)
    affect = draw_affect(rng, round(seconds * RATE_HZ), mean)
    return perform(rng, affect, draw_talking(rng, affect))


@pytest.fixture(scope="module")
def many():
    return [draw(seed) for seed in range(20)]


def test_valence_and_arousal_stay_inside_and_travel_far(many):
    for performance in many:
        affect = performance.valence_arousal
        assert np.abs(affect).max() < 1
        assert np.ptp(affect, axis=0).min() > 1


def test_valence_and_arousal_are_nearly_uncorrelated(many):
    each = [np.corrcoef(performance.valence_arousal.T)[0, 1] for performance in many]
    assert np.abs(each).max() < 0.25
    together = np.concatenate([performance.valence_arousal for performance in many])
    assert abs(np.corrcoef(together.T)[0, 1]) < 0.05


def test_nothing_moves_faster_than_an_annotator_s_hand():
    affect = draw(3, seconds=60).valence_arousal
    window = np.hanning(len(affect))[:, None]
    power = np.abs(np.fft.rfft((affect - affect.mean(axis=0)) * window, axis=0)) ** 2
    fast = np.fft.rfftfreq(len(affect), 1 / RATE_HZ) > 1.0  # the squash makes overtones of 0.3 Hz
    assert (power[fast].sum(axis=0) / power.sum(axis=0)).max() < 0.01


def test_the_mean_of_a_clip_can_be_chosen():
    low, high = draw(1, mean=(-0.3, 0.3)).valence_arousal.mean(axis=0)
    assert low < -0.1
    assert high > 0.1


def test_when_somebody_talks_says_nothing_about_how_they_feel(many):
    talking = np.concatenate([p.talking for p in many]).astype(float)
    affect = np.concatenate([p.valence_arousal for p in many])
    for column in affect.T:
        assert abs(np.corrcoef(talking, column)[0, 1]) < 0.1
    assert 0.5 < talking.mean() < 0.8


def test_the_mouth_rests_while_silent_and_opens_wider_when_aroused(many):
    for performance in many:
        quiet = np.convolve(performance.talking, np.ones(25), mode="same") == 0
        assert performance.jaw[quiet].max(initial=0) < 1e-9
        assert 0 <= performance.jaw.min() <= performance.jaw.max() < 1
    talking = np.concatenate([p.talking for p in many])
    jaw = np.concatenate([p.jaw for p in many])[talking]
    arousal = np.concatenate([p.valence_arousal[:, 1] for p in many])[talking]
    assert jaw[arousal > 0.4].mean() > 1.3 * jaw[arousal < -0.4].mean()


def test_a_talking_mouth_moves_as_much_as_speech_asks_for_and_a_resting_one_does_not(many, repository):
    """At the sample's 5 frames a second. The lips' area is about 4 % of the face with the jaw wide open."""
    from stages.audio.mouth import moving
    from stages.core.params import load_params

    least = load_params(repository / "profiles" / "sample.yaml").speech.min_mouth_motion
    talks, rests = [], []
    for performance in many:
        every = slice(None, None, RATE_HZ // 5)
        opening = 0.0005 + 0.04 * performance.jaw[every]
        seen, time_s = np.ones(len(opening), dtype=bool), np.arange(len(opening)) / 5
        moves = moving(opening, time_s, seen, least=least)
        near = np.convolve(performance.talking, np.ones(121), mode="same")[every]
        edge = (time_s < 0.6) | (time_s > time_s[-1] - 0.6)
        talks.append(moves[(near > 120.5) & ~edge])
        rests.append(moves[near < 0.5])
    assert np.concatenate(talks).mean() > 0.85
    assert len(np.concatenate(rests)) > 100
    assert not np.concatenate(rests).any()


def test_the_head_moves_more_when_aroused_but_about_the_same_place(many):
    pose = np.concatenate([p.pose for p in many])
    arousal = np.concatenate([p.valence_arousal[:, 1] for p in many])
    excited, calm = pose[arousal > 0.4], pose[arousal < -0.4]
    assert (excited.std(axis=0) > 1.4 * calm.std(axis=0)).all()
    assert (np.abs(excited.mean(axis=0)) < 0.5 * excited.std(axis=0)).all()
