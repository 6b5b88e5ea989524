import numpy as np
import pytest

from mer_jax.vision.sampling import interpolation_model, sampling_weights, uniform_indices


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
    with pytest.raises(ValueError, match="unknown sampling 'spline'"):
        sampling_weights(34, 18, "spline")


def test_around_the_apex_half_of_the_frames_rise_and_half_fall():
    for num_available, num_frames, apex in ((34, 18, 10), (34, 17, 30), (200, 16, 150), (34, 18, 0), (34, 18, 33)):
        indices = sampling_weights(num_available, num_frames, "apex", apex).argmax(axis=1)
        assert (indices[0], indices[num_frames // 2], indices[-1]) == (0, apex, num_available - 1)
        assert (np.diff(indices) >= 0).all()
        np.testing.assert_allclose(indices[: num_frames // 2 + 1], np.linspace(0, apex, num_frames // 2 + 1), atol=0.5)
    assert sampling_weights(34, 2, "apex", 12).argmax(axis=1).tolist() == [0, 12]
    assert sampling_weights(1, 5, "apex", 0).tolist() == [[1]] * 5
    with pytest.raises(ValueError, match="apex 34 is not in a clip of 34"):
        sampling_weights(34, 18, "apex", 34)
    with pytest.raises(ValueError, match="needs the apex"):
        sampling_weights(34, 18, "apex")


@pytest.mark.parametrize("num_available", [1, 2, 5, 34])
def test_tim_gives_the_frames_themselves_at_their_times(num_available):
    weights = interpolation_model(num_available, np.arange(float(num_available)))
    np.testing.assert_allclose(weights, np.eye(num_available), atol=1e-6)
    weights = sampling_weights(num_available, 18, "tim")
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(weights[[0, -1]], np.eye(num_available)[[0, -1]], atol=1e-6)


def test_tim_is_the_papers_graph_embedding():
    """The weights against the paper's own steps: graph Laplacian, SVD of the centred frames, map, curve."""
    n, at = 9, np.linspace(0, 8, 23)
    frames = np.random.default_rng(0).normal(size=(n, 40)).T  # a frame is a column
    path = np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
    _, eigenvectors = np.linalg.eigh(np.diag(path.sum(axis=0)) - path)
    nodes = np.sin(
        np.pi * np.arange(1, n)[:, None] * np.arange(1, n + 1) / n + np.pi * (n - np.arange(1, n)[:, None]) / (2 * n)
    )
    cosines = np.abs(np.sum(nodes / np.linalg.norm(nodes, axis=1, keepdims=True) * eigenvectors[:, 1:].T, axis=1))
    np.testing.assert_allclose(cosines, 1, atol=1e-9)  # the curves are the eigenvectors

    mean = frames.mean(axis=1, keepdims=True)
    u, s, vt = np.linalg.svd(frames - mean, full_matrices=False)
    rank = n - 1
    q = np.diag(s[:rank]) @ vt[:rank]
    back = q @ np.linalg.pinv(nodes)  # takes curve points to the coordinates of frames
    t = (at + 1) / n
    curve = np.sin(np.pi * np.arange(1, n)[:, None] * t + np.pi * (n - np.arange(1, n)[:, None]) / (2 * n))
    expected = u[:, :rank] @ back @ curve + mean
    np.testing.assert_allclose(frames @ interpolation_model(n, at).T, expected, atol=1e-4)
