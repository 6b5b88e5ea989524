import numpy as np
import pytest

from mer_jax.vision.sampling import sampling_weights, uniform_indices


@pytest.mark.parametrize("num_available", [1, 2, 3, 17, 18, 19, 34, 75, 500])
@pytest.mark.parametrize("num_frames", [2, 16, 18])
def test_uniform_takes_onset_and_offset_and_what_lies_evenly_between(num_available, num_frames):
    indices = uniform_indices(num_available, num_frames)
    assert (indices[0], indices[-1]) == (0, num_available - 1)
    ideal = np.linspace(0, num_available - 1, num_frames)
    assert np.abs(indices - ideal).max() <= 0.5
    if num_available >= num_frames:
        assert (np.diff(indices) > 0).all()
    else:
        assert set(indices) == set(range(num_available)) or num_frames == 2


def test_as_many_frames_as_asked_for_are_all_taken():
    np.testing.assert_array_equal(uniform_indices(18, 18), np.arange(18))


@pytest.mark.parametrize("sampling", ["uniform", "linear"])
@pytest.mark.parametrize("num_available", [1, 2, 5, 34])
def test_weights_are_shares(sampling, num_available):
    weights = sampling_weights(num_available, 18, sampling)
    assert weights.shape == (18, num_available)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert weights.min() >= 0
    assert weights[0, 0] == 1
    assert weights[-1, -1] == 1


def test_linear_interpolates_a_ramp_exactly():
    weights = sampling_weights(34, 18, "linear")
    np.testing.assert_allclose(weights @ np.arange(34.0), np.linspace(0, 33, 18), atol=1e-5)
    assert (np.count_nonzero(weights, axis=1) <= 2).all()


def test_uniform_picks_one_frame_each():
    weights = sampling_weights(34, 18, "uniform")
    assert set(np.unique(weights)) == {0, 1}
    np.testing.assert_array_equal(weights.argmax(axis=1), uniform_indices(34, 18))


def test_an_unknown_sampling_is_refused():
    with pytest.raises(ValueError, match="unknown sampling 'tim'"):
        sampling_weights(34, 18, "tim")
