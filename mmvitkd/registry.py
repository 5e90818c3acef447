"""Child registries of MMPretrain's under the scope ``mmvitkd``.

``type='mmvitkd.X'`` works from any config without ``custom_imports``, since
MMEngine imports ``<scope>.registry`` by itself, and ``default_scope='mmvitkd'``
finds our types first, then MMPretrain's, then MMEngine's.
"""

from mmengine.registry import STRATEGIES as MMENGINE_STRATEGIES
from mmengine.registry import Registry
from mmpretrain import registry as mmpretrain

__all__ = [
    'BATCH_AUGMENTS',
    'DATASETS',
    'DATA_SAMPLERS',
    'EVALUATORS',
    'HOOKS',
    'LOG_PROCESSORS',
    'LOOPS',
    'METRICS',
    'MODELS',
    'MODEL_WRAPPERS',
    'OPTIMIZERS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'PARAM_SCHEDULERS',
    'RUNNERS',
    'RUNNER_CONSTRUCTORS',
    'SCOPE',
    'STRATEGIES',
    'TASK_UTILS',
    'TRANSFORMS',
    'VISBACKENDS',
    'VISUALIZERS',
    'WEIGHT_INITIALIZERS',
]

SCOPE = 'mmvitkd'


def _child(parent: Registry, *locations: str) -> Registry:
    """Make the child registry of one of MMPretrain's.

    MMEngine looks an unscoped name up in the ancestors without importing their
    modules, so the parent's import locations are taken over. It follows
    ``scope.X`` only one level down from the root, so the root learns the child
    as well: a detector's config, whose scope is ``mmdet``, then finds it too.
    """
    child = Registry(
        parent.name,
        parent=parent,
        scope=SCOPE,
        locations=[*parent._locations, *locations],
    )
    if parent.parent is not None:
        parent.parent._add_child(child)
    return child


RUNNERS = _child(mmpretrain.RUNNERS)
RUNNER_CONSTRUCTORS = _child(mmpretrain.RUNNER_CONSTRUCTORS)
LOOPS = _child(mmpretrain.LOOPS)
# MMPretrain has none of its own
STRATEGIES = _child(MMENGINE_STRATEGIES, 'mmvitkd.engine')
HOOKS = _child(mmpretrain.HOOKS, 'mmvitkd.engine')
LOG_PROCESSORS = _child(mmpretrain.LOG_PROCESSORS)
OPTIMIZERS = _child(mmpretrain.OPTIMIZERS)
OPTIM_WRAPPERS = _child(mmpretrain.OPTIM_WRAPPERS, 'mmvitkd.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    mmpretrain.OPTIM_WRAPPER_CONSTRUCTORS, 'mmvitkd.engine'
)
PARAM_SCHEDULERS = _child(mmpretrain.PARAM_SCHEDULERS)
DATASETS = _child(mmpretrain.DATASETS, 'mmvitkd.datasets')
DATA_SAMPLERS = _child(mmpretrain.DATA_SAMPLERS, 'mmvitkd.datasets')
TRANSFORMS = _child(mmpretrain.TRANSFORMS, 'mmvitkd.datasets')
MODELS = _child(mmpretrain.MODELS, 'mmvitkd.models')
MODEL_WRAPPERS = _child(mmpretrain.MODEL_WRAPPERS)
WEIGHT_INITIALIZERS = _child(mmpretrain.WEIGHT_INITIALIZERS, 'mmvitkd.models')
BATCH_AUGMENTS = _child(mmpretrain.BATCH_AUGMENTS)
TASK_UTILS = _child(mmpretrain.TASK_UTILS)
METRICS = _child(mmpretrain.METRICS, 'mmvitkd.evaluation')
EVALUATORS = _child(mmpretrain.EVALUATORS)
VISUALIZERS = _child(mmpretrain.VISUALIZERS)
VISBACKENDS = _child(mmpretrain.VISBACKENDS)
