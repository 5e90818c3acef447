import os
import subprocess
import sys

import pytest
from mmengine import registry as root
from mmengine.registry import DefaultScope
from mmpretrain import registry as parent

from mmvitkd import registry


@pytest.mark.parametrize('name', [n for n in registry.__all__ if n != 'SCOPE'])
def test_every_registry_is_a_child_of_mmpretrains(name):
    # which has none of strategies
    assert getattr(registry, name).parent is getattr(parent, name, root.STRATEGIES)
    assert getattr(registry, name).scope == 'mmvitkd'


def test_our_deit3_wins_in_our_scope_only():
    for scope, module in (('mmvitkd', 'mmvitkd'), ('mmpretrain', 'mmpretrain')):
        with (
            DefaultScope.overwrite_default_scope(scope),
            root.MODELS.switch_scope_and_registry(None) as models,
        ):
            assert models.get('DeiT3').__module__.startswith(module + '.')


@pytest.mark.slow
@pytest.mark.parametrize('scope', ['mmpretrain', 'mmengine'])
def test_found_from_any_scope_without_an_import(scope):
    """In a fresh interpreter that has not imported the package."""
    script = (
        'from mmengine import registry as root\n'
        f'with root.DefaultScope.overwrite_default_scope({scope!r}):\n'
        '    for top, key in (("DATASETS", "Digits"), ("MODELS", "ViTKDMimicLoss")):\n'
        '        with getattr(root, top).switch_scope_and_registry(None) as found:\n'
        '            print(found.get("mmvitkd." + key).__name__)\n'
    )
    out = subprocess.run(
        [sys.executable, '-c', script],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': os.getcwd()},
        check=True,
    )
    assert out.stdout.split()[-2:] == ['Digits', 'ViTKDMimicLoss']


def test_default_scope_finds_mmpretrains_and_mmengines_types():
    names = {
        'MODELS': ['ImageClassifier', 'BaseDataPreprocessor', 'ViTKDDistiller'],
        'DATASETS': ['ImageNet', 'ConcatDataset'],
        'TRANSFORMS': ['PackInputs', 'RandAugment', 'Resize'],
        'HOOKS': ['VisualizationHook', 'EMAHook', 'LoggerHook'],
        'METRICS': ['Accuracy'],
        'LOOPS': ['EpochBasedTrainLoop'],
        'OPTIM_WRAPPER_CONSTRUCTORS': ['LearningRateDecayOptimWrapperConstructor'],
        'DATA_SAMPLERS': ['RepeatAugSampler', 'DefaultSampler'],
    }
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        for registry_name, kinds in names.items():
            top = getattr(root, registry_name)
            with top.switch_scope_and_registry(None) as child:
                assert child.scope == 'mmvitkd'
                assert all(child.get(kind) is not None for kind in kinds), registry_name
