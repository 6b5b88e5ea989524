"""Known answers: graph blocks again, in NumPy and float64, and networks of landmarks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import models
from mer_jax.blocks.graph import (
    EdgeAttention,
    GraphConvolution,
    jaccard_similarity,
    nearest_neighbours,
    take_edges,
    take_nodes,
    top_nodes,
)
from mer_jax.data.action_units import encode_action_units
from mer_jax.data.targets import make_targets
from mer_jax.data.views import input_shapes
from mer_jax.errors import ConfigError
from mer_jax.training.cost import count_parameters


def random_params(block, *inputs):
    params = block.init(jax.random.key(0), *inputs)["params"]
    params = jax.tree.map(lambda p: jax.random.normal(jax.random.key(p.size), p.shape), params)
    return params, jax.tree.map(lambda p: np.asarray(p, np.float64), params)


def test_graph_convolution():
    x, adjacency = jax.random.normal(jax.random.key(0), (2, 5, 3)), jax.random.normal(jax.random.key(1), (2, 5, 5))
    block = GraphConvolution(4)
    params, p = random_params(block, x, adjacency)
    mixed = np.asarray(adjacency, np.float64) @ np.asarray(x, np.float64) @ p["kernel"]
    expected = np.where(mixed > 0, mixed, 0.2 * mixed)
    np.testing.assert_allclose(block.apply({"params": params}, x, adjacency), expected, rtol=1e-4, atol=1e-4)


def test_edge_attention():
    """One receiver after the other, over its own neighbours only."""
    x, edges = jax.random.normal(jax.random.key(0), (5, 3)), jax.random.normal(jax.random.key(1), (5, 5, 2))
    adjacency = jnp.maximum(jax.random.bernoulli(jax.random.key(2), 0.5, (5, 5)), jnp.eye(5))
    block = EdgeAttention(heads=2, head_dim=4)
    params, p = random_params(block, x, edges, adjacency)
    got = block.apply({"params": params}, x, edges, adjacency)
    x, edges = np.asarray(x, np.float64), np.asarray(edges, np.float64)
    nodes = (x @ p["node"]["kernel"] + p["node"]["bias"]).reshape(5, 2, 4)
    expected = np.zeros((5, 2, 4))
    for i in range(5):
        for head in range(2):
            near = np.flatnonzero(adjacency[i])
            about = edges[i, near] @ p["relation"]["kernel"][:, head]
            scores = nodes[i, head] @ p["receiver"][head] + nodes[near, head] @ p["sender"][head] + about
            weights = np.exp(np.where(scores > 0, scores, 0.2 * scores))
            messages = nodes[near, head] + edges[i, near] @ p["edge"][:, head]
            expected[i, head] = weights / weights.sum() @ messages
    expected = np.where(expected > 0, expected, np.expm1(expected)).reshape(5, 8)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_neighbours_on_a_line():
    line = jnp.array([[0.0], [1.0], [2.1], [3.3]])
    near = nearest_neighbours(line, 1)
    np.testing.assert_array_equal(near, [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]])
    np.testing.assert_allclose(jaccard_similarity(near)[0], [1, 2 / 3, 1 / 4, 0], atol=1e-6)
    assert nearest_neighbours(line, 9).all()


def test_pooling_takes_the_nodes_with_the_highest_scores():
    x, edges = jnp.arange(8.0).reshape(4, 2), jnp.arange(16.0).reshape(4, 4, 1)
    nodes = top_nodes(jnp.array([0.1, 0.9, -1.0, 0.5]), 2)
    np.testing.assert_array_equal(nodes, [1, 3])
    np.testing.assert_array_equal(take_nodes(x, nodes), x[nodes])
    np.testing.assert_array_equal(take_edges(edges, nodes)[..., 0], edges[..., 0][nodes][:, nodes])


# --- AU-GCN and EdgeNodeGAT ---


def test_augcn_counts_pairs_of_units_over_real_and_coded_clips():
    model = models.AUGCN(patch_frames=2, layers=1)
    inputs = [jax.random.normal(jax.random.key(0), each.shape) for each in input_shapes(model, 3, batch=4)]
    units = encode_action_units(["1+2+26", "AU1", "", "12+25"])
    targets = make_targets(jnp.arange(4) % 3, jnp.array([1.0, 1.0, 1.0, 0.0]), jnp.asarray(units))
    variables = jax.jit(lambda key: model.init(key, *inputs, is_training=False))(jax.random.key(0))

    @jax.jit
    def train(variables):
        options = {"is_training": True, "targets": targets, "rngs": {"dropout": jax.random.key(1)}}
        return model.apply(variables, *inputs, mutable=["batch_stats", "class_stats"], **options)[1]["class_stats"]

    @jax.jit
    def answer(statistics):
        return model.apply({**variables, "class_stats": statistics}, *inputs, is_training=False)

    pairs = train(variables)["pairs"]
    expected = np.zeros((9, 9))
    expected[:2, :2] = [[2, 1], [1, 1]]  # AU 1 twice, with AU 2 once; AU 26 is not in the graph, the last is padding
    np.testing.assert_array_equal(pairs, expected)
    twice = train({**variables, "class_stats": {"pairs": pairs}})["pairs"]
    np.testing.assert_array_equal(twice, 2 * expected)
    prior, counted, again = (answer({"pairs": each}) for each in (jnp.zeros((9, 9)), pairs, twice))
    assert np.abs(prior - counted).max() > 1e-4, "counted units replace the prototypes"
    np.testing.assert_allclose(counted, again, atol=1e-6)


def test_augcn_of_2021_has_one_frame():
    model = models.AUGCN(joined=False)
    with pytest.raises(ConfigError, match=r"got joined=False, patch_frames=12; expected patch_frames=1"):
        count_parameters(model, 18)


@pytest.mark.parametrize("keep", [0.0, 1.5])
def test_edge_node_gat_keeps_some_nodes(keep):
    model = models.EdgeNodeGAT(keep=keep)
    with pytest.raises(ConfigError, match="expected a share of the nodes"):
        count_parameters(model, 18)
