from .attention import (
    attend,
    attention_maps,
    attention_rollout,
    class_attention,
    diagonal_ratio,
    effective_keys,
    mean_attention,
)
from .similarity import (
    LinearCKA,
    attention_divergence,
    relation_angle,
    relation_difference,
    relations,
    unbiased_hsic,
)

__all__ = [
    'LinearCKA',
    'attend',
    'attention_divergence',
    'attention_maps',
    'attention_rollout',
    'class_attention',
    'diagonal_ratio',
    'effective_keys',
    'mean_attention',
    'relation_angle',
    'relation_difference',
    'relations',
    'unbiased_hsic',
]
