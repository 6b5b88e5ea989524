"""Implicit semantic data augmentation (ISDA): a loss over infinitely many variants of each feature vector.

Features of a class are imagined to vary by a normal distribution with the covariance of that class. An upper bound of
the expected cross-entropy has a closed form: the cross-entropy of logits that are raised for wrong classes, the more so
the more the class varies along the direction that tells the two apart.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

ClassStatistics = dict[str, Array]  # count [k], mean [k d], covariance [k d d]


def init_class_statistics(num_classes: int, features: int) -> ClassStatistics:
    """Returns the statistics of no clips at all."""
    return {
        "count": jnp.zeros((num_classes,)),
        "mean": jnp.zeros((num_classes, features)),
        "covariance": jnp.zeros((num_classes, features, features)),
    }


def update_class_statistics(
    statistics: ClassStatistics,
    features: Float[Array, "b d"],
    labels: Int[Array, " b"],
    real: Bool[Array, " b"],
) -> ClassStatistics:
    """Adds a batch to the running mean and covariance of each class, as if all had been seen at once.

    Args:
        statistics: From `init_class_statistics`, or of earlier batches.
        features: Of the batch; no gradient flows through them.
        labels: Class indices.
        real: Which clips count; the others are padding.

    Source: Wang et al., "Implicit semantic data augmentation for deep networks", NeurIPS 2019, appendix A.
    """
    features = jax.lax.stop_gradient(features).astype(jnp.float32)
    num_classes = len(statistics["count"])
    member = jax.nn.one_hot(labels, num_classes) * real[:, None]  # b k
    new = member.sum(0)
    mean = member.T @ features / jnp.maximum(new, 1)[:, None]
    centred = (features[:, None] - mean) * member[..., None]  # b k d
    covariance = jnp.einsum("bki,bkj->kij", centred, centred) / jnp.maximum(new, 1)[:, None, None]
    share = (new / jnp.maximum(statistics["count"] + new, 1))[:, None]  # k 1
    apart = statistics["mean"] - mean
    between = apart[:, :, None] * apart[:, None, :] * (share * (1 - share))[..., None]
    return {
        "count": statistics["count"] + new,
        "mean": (1 - share) * statistics["mean"] + share * mean,
        "covariance": (1 - share)[..., None] * statistics["covariance"] + share[..., None] * covariance + between,
    }


def augment_logits(
    logits: Float[Array, "b k"],
    kernel: Float[Array, "d k"],
    covariance: Float[Array, "k d d"],
    labels: Int[Array, " b"],
    strength: Float[Array, ""] | float,
) -> Float[Array, "b k"]:
    """Returns logits whose cross-entropy bounds the expected one over the variants of each feature vector.

    Logit j of a clip of class y rises by `strength / 2 * (w_j - w_y)' S_y (w_j - w_y)`.

    Args:
        logits: Of the features as they are.
        kernel: Weights w of the layer that made the logits.
        covariance: S of each class.
        labels: Class indices.
        strength: How far features are imagined to vary, 0 or more.

    Source: Wang et al., NeurIPS 2019, equation 6.
    """
    kernel = kernel.astype(jnp.float32)
    apart = kernel[:, None, :] - kernel[:, :, None]  # d, class, other class: w_j - w_y
    rise = jnp.einsum("iyj,yik,kyj->yj", apart, covariance, apart)  # of logit j for class y
    return logits + 0.5 * strength * rise[labels]
