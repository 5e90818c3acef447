"""What a work dir holds, and what a run may do there: nothing of another is lost."""

import ast
import re
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .checkpoint import load_checkpoint
from .config_text import flatten, literal
from .finite import require_finite
from .optimizer import SAME_SETTINGS

# settings of the machine or of this start, not of the run
INCIDENTAL = (
    'env_cfg',
    'experiment_name',
    'launcher',
    'load_from',
    'log_level',
    'log_processor',
    'model_wrapper_cfg',
    'resume',
    'vis_backends',
    'visualizer',
    'work_dir',
)
# what goes on as the checkpoint's optimiser and schedulers have it
OVERRIDDEN = re.compile(
    r'optim_wrapper\.(optimizer\.(?!type$)|paramwise_cfg|constructor)'
    r'|(param_scheduler|auto_scale_lr)\b'
)
ENDS = ('train_cfg.max_epochs', 'train_cfg.max_iters')
# a file that moved makes no other model
MOVABLE = re.compile(r'model\.(.*\.checkpoint|teachers?\.([^.]+\.)?cfg)')


def claim_work_dir(cfg: Config, override_optim: bool = False) -> list[str]:
    """Settle what a training run resumes from, before it writes anything.

    A work dir without checkpoints is free. One with checkpoints is only for
    resuming: ``resume=True`` alone takes the newest that can be read, if it is of
    the same model; with ``load_from`` it takes that one, unless others in the work
    dir would be written over. ``cfg.load_from`` then names the file.

    Args:
        cfg: Of the run.
        override_optim: Whether the config's optimiser settings and schedules are taken
            instead of the checkpoint's. Defaults to False.

    Returns:
        Lines that tell the user what was found.

    Raises:
        ValueError: If the run would write over another or over itself, or what it
            shall resume is missing, damaged or of another model.
    """
    work_dir = Path(cfg.work_dir)
    held = find_checkpoints(work_dir)
    if not cfg.get('resume'):
        if held:
            raise ValueError(_occupied(cfg, held))
        return []
    if cfg.get('load_from') is not None:
        return _resume_given(cfg, held, override_optim)
    if not held:
        cfg.resume = False
        return [f"nothing to resume in '{work_dir}': a new run begins"]
    return _resume_newest(cfg, held, override_optim)


def find_checkpoints(work_dir: Path) -> list[Path]:
    """List a work dir's checkpoints, the latest step first.

    What ``last_checkpoint`` names counts too, wherever it is.
    """
    found = sorted(work_dir.glob('*.pth'), key=_step, reverse=True)
    pointer = work_dir / 'last_checkpoint'
    if pointer.is_file():
        last = Path(pointer.read_text(encoding='utf-8', errors='replace').strip())
        # a work dir that was moved or copied has it inside, whatever the pointer says
        if last.name and not (work_dir / last.name).exists() and last.exists():
            found.insert(0, last)
    return found


def _step(file: Path) -> tuple[int, str]:
    """Return the epoch or iteration in a checkpoint's name, or -1."""
    number = re.search(r'(\d+)$', file.stem)
    return (int(number[1]) if number else -1, file.name)


def _resume_given(cfg: Config, held: list[Path], override_optim: bool) -> list[str]:
    """Resume the file that the user names, if that writes over no other."""
    file = Path(cfg.load_from)
    inside = any(other.resolve() == file.resolve() for other in held)
    later = [f for f in held if not inside or _step(f)[0] > _step(file)[0]]
    if later:
        raise ValueError(
            f"'{cfg.work_dir}' holds {_names(later)}, which resuming from '{file}' "
            'would write over: give another --work-dir, or remove them first'
        )
    checkpoint = _training_state(cfg.load_from)
    changes = changed_settings(checkpoint, cfg)
    _keep_seed(checkpoint, cfg)
    return _changes_noted(cfg, file, changes, override_optim)


def _resume_newest(cfg: Config, held: list[Path], override_optim: bool) -> list[str]:
    """Resume the newest checkpoint that can be read, if it is of the same model."""
    lines = []
    for file in [file for file in held if not file.name.startswith('best_')]:
        try:
            checkpoint = _training_state(file)
        except ValueError as error:
            lines.append(f'passed over: {error}')
            continue
        changes = changed_settings(checkpoint, cfg)
        model = {k: v for k, v in changes.items() if _is_model(k)}
        if model:
            raise ValueError(
                f"'{cfg.work_dir}' holds another run, {_names(held)}; what differs: "
                f'{_listed(model)}. Give another --work-dir; or, if this config shall '
                f'go on with it all the same, --resume {file}'
            )
        cfg.load_from = str(file)
        _keep_seed(checkpoint, cfg)
        return [*lines, *_changes_noted(cfg, file, changes, override_optim)]
    reasons = '\n'.join([*lines, 'Remove them, or give another --work-dir'])
    raise ValueError(
        f"'{cfg.work_dir}' holds {_names(held)}, but nothing to resume:\n{reasons}"
    )


def _training_state(file: str | Path) -> dict[str, Any]:
    """Read a checkpoint that a run can go on from."""
    if Path(file).is_dir():  # DeepSpeed's and FSDP's, which their strategies read
        return {}
    checkpoint = load_checkpoint(file)
    if 'message_hub' not in checkpoint:
        raise ValueError(f"'{file}' has weights but no training state")
    for key in ('state_dict', 'ema_state_dict'):
        require_finite(checkpoint.get(key, {}), f"checkpoint '{file}'")
    return checkpoint


def _keep_seed(checkpoint: dict[str, Any], cfg: Config) -> None:
    """Go on with the seed that a run drew, which orders the images from the start."""
    seed = checkpoint.get('meta', {}).get('seed')
    randomness = cfg.get('randomness') or {}
    if seed is not None and randomness.get('seed') is None:
        cfg.randomness = {**randomness, 'seed': seed}


def _is_model(setting: str) -> bool:
    return setting.split('.')[0] == 'model' and not MOVABLE.fullmatch(setting)


def _changes_noted(
    cfg: Config, file: Path, changes: dict[str, tuple[Any, Any]], override_optim: bool
) -> list[str]:
    """Say which changes hold, and which the checkpoint's own state overrides.

    Raises:
        ValueError: If the optimiser is another one, whose state can't be kept.
    """
    kind = changes.get('optim_wrapper.optimizer.type')
    if kind and len({str(name).rpartition('.')[2] for name in kind}) > 1:
        raise ValueError(
            f"'{file}' holds the state of {kind[0]}, which {kind[1]} can't go on with: "
            'begin a new run with its weights, by load_from and without --resume'
        )
    unused = {} if override_optim else _overridden(cfg, changes)
    used = {k: v for k, v in changes.items() if k not in unused}
    lines = [f"resuming from '{file}'"]
    if used:
        lines.append(f'settings that changed since: {_listed(used)}')
    if unused:
        lines.append(
            "changed, but NOT used, since the checkpoint's own go on: "
            f'{_listed(unused, most=len(unused))}. To use them: --override-optim'
        )
    return lines


def _overridden(
    cfg: Config, changes: dict[str, tuple[Any, Any]]
) -> dict[str, tuple[Any, Any]]:
    """Choose the changes that a checkpoint's training state overrides."""
    unused = {k: v for k, v in changes.items() if OVERRIDDEN.match(k)}
    given = cfg.get('param_scheduler') or []
    schedulers = given if isinstance(given, list) else [given]
    if any('end' not in scheduler for scheduler in schedulers):
        # they end where training did
        ends = {f'{k} in param_scheduler': changes[k] for k in ENDS if k in changes}
        unused |= ends
    return unused


def _occupied(cfg: Config, held: list[Path]) -> str:
    """Say whose checkpoints are in the way of a new run, and the ways out."""
    ways = 'give another --work-dir, or remove them first'
    try:
        changes = changed_settings(_training_state(held[0]), cfg)
    except ValueError as error:
        return f"'{cfg.work_dir}' holds {_names(held)} ({error}): {ways}"
    if any(_is_model(setting) for setting in changes):
        return (
            f"'{cfg.work_dir}' holds another run, {_names(held)}; what differs: "
            f'{_listed(changes)}. So {ways}'
        )
    again = f', with other settings: {_listed(changes)}' if changes else ''
    return (
        f"'{cfg.work_dir}' holds {_names(held)} of this run{again}. "
        f'Continue it with --resume, {ways}'
    )


def _names(files: list[Path]) -> str:
    names = ', '.join(file.name for file in files[:3])
    return names if len(files) <= 3 else f'{names} and {len(files) - 3} more'


def changed_settings(
    checkpoint: dict[str, Any], cfg: Config
) -> dict[str, tuple[Any, Any]]:
    """Compare the config that a checkpoint was written under with ``cfg``.

    The checkpoint's is read as data, not run.

    Returns:
        Dotted setting to old and new value, without what belongs to a machine or
        a start. A checkpoint without a config differs in nothing.
    """
    text = checkpoint.get('meta', {}).get('cfg')
    if not text:
        return {}
    old, new = _read_settings(text), _read_settings(cfg.pretty_text)
    for settings in (old, new):
        if settings.get('optim_wrapper.constructor', 'absent') in SAME_SETTINGS:
            settings.pop('optim_wrapper.constructor', None)
    return {
        key: (old.get(key, 'absent'), new.get(key, 'absent'))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key) and key.split('.')[0] not in INCIDENTAL
    }


def _read_settings(text: str) -> dict[str, Any]:
    """Read a dumped config into dotted settings."""
    settings: dict[str, Any] = {}
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign):
            name = ast.unparse(statement.targets[0])
            settings |= flatten({name: _literal(statement.value)})
    return settings


def _literal(node: ast.expr) -> Any:
    try:
        return literal(node)
    except ValueError:  # a class, say: its text will do to compare
        return ast.unparse(node)


def _listed(changes: dict[str, tuple[Any, Any]], most: int = 5) -> str:
    def short(value: Any) -> str:
        text = str(value)
        return text if len(text) <= 50 else text[:47] + '...'

    shown = [
        f'{k}: {short(a)} -> {short(b)}' for k, (a, b) in list(changes.items())[:most]
    ]
    more = [f'and {len(changes) - most} more'] if len(changes) > most else []
    return '; '.join([*shown, *more])
