"""The hooks that a run has besides those of its config."""

from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook

from mmvitkd.registry import HOOKS

from .types import class_of, is_kind

# the names in default_hooks that need no type: MMEngine's own
DEFAULT = {
    'runtime_info': 'RuntimeInfoHook',
    'timer': 'IterTimerHook',
    'sampler_seed': 'DistSamplerSeedHook',
    'logger': 'LoggerHook',
    'param_scheduler': 'ParamSchedulerHook',
    'checkpoint': 'CheckpointHook',
}
# those that every run has besides
ALWAYS = {
    'resume': 'mmvitkd.ExactResumeHook',
    'labels': 'mmvitkd.LabelCheckHook',
    'images': 'mmvitkd.ImageCheckHook',
    'rehearsal': 'mmvitkd.RehearsalHook',
    'data_wait': 'mmvitkd.DataWaitHook',
}
# and those of a distillation
WATCHING = {
    'check': 'mmvitkd.DistillationCheckHook',
    'monitor': 'mmvitkd.DistillationMonitorHook',
}
# and that of a student that is quantised in training
QUANTISING = {'quantisation': 'mmvitkd.QuantisationHook'}


def complete_hooks(cfg: Config) -> None:
    """Make a run resume exactly, its checkpoints survive a kill, and watch it.

    A hook in ``default_hooks`` needs no ``type`` where its name tells it, and None
    takes any of them away. What watches a distillation is left out where there is
    none, as in testing. To be called once, on the user's config.
    """
    custom = list(cfg.get('custom_hooks') or [])
    given = {'checkpoint': {'interval': 1}, **(cfg.get('default_hooks') or {})}
    terms = cfg.model.get('terms')
    if isinstance(terms, dict):
        terms = [term for term in terms.values() if term is not None]
    ours = ALWAYS | WATCHING if terms else ALWAYS
    if cfg.model.get('quantisation') is not None:
        ours = ours | QUANTISING
    every = ALWAYS | WATCHING | QUANTISING
    settings = {name: given.pop(name, {}) for name in every}
    hooks: dict[str, Any] = {}
    for name, hook in given.items():
        if hook is None or hook is False:
            if name in DEFAULT:  # MMEngine would put its own there
                hooks[name] = None
            continue
        hooks[name] = {'type': DEFAULT[name], **hook} if name in DEFAULT else hook
    saving = hooks['checkpoint']
    if saving and class_of(saving['type'], HOOKS) is CheckpointHook:
        hooks['checkpoint'] = {**saving, 'type': 'mmvitkd.SafeCheckpointHook'}
    for name, kind in ours.items():
        hook = settings[name]
        if hook not in (None, False) and not _has(custom, kind):
            hooks[name] = {'type': kind, **hook}
    cfg.default_hooks = hooks


def _has(hooks: list[Any], kind: str) -> bool:
    base = class_of(kind, HOOKS)
    return any(is_kind(hook.get('type'), base, HOOKS) for hook in hooks)
