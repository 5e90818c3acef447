"""The training state of earlier runs, whose groups had one parameter each."""

from typing import Any

from torch import nn

from ..optimizers.merged_groups_constructor import NAMES

# of MMEngine's schedulers; the last value may be that of the settings without any group
PER_GROUP = ('base_values', '_last_value', 'min_values')


def regroup(
    checkpoint: dict[str, Any], groups_now: list[dict[str, Any]], model: nn.Module
) -> None:
    """Merge a checkpoint's groups of one parameter each as the run's are.

    Nothing is changed where they are not such, or where parameters that are together
    now had different settings.

    Args:
        checkpoint: With the state of optimiser and schedules; is changed.
        groups_now: Of the optimiser that is about to read it.
        model: With the parameters.
    """
    saved = checkpoint['optimizer']
    groups = saved['param_groups']
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    if (
        not all(NAMES in group for group in groups_now)
        or any(len(group['params']) != 1 or NAMES in group for group in groups)
        or len(groups) != len(trained)
    ):
        return
    place = {name: i for i, name in enumerate(trained)}  # a constructor's order
    members = [[place[name] for name in group[NAMES]] for group in groups_now]
    settings = [{k: v for k, v in g.items() if k != 'params'} for g in groups]
    if any(settings[i] != settings[group[0]] for group in members for i in group):
        return
    order = [groups[i]['params'][0] for group in members for i in group]
    numbers = {old: new for new, old in enumerate(order)}
    checkpoint['optimizer'] = {
        **saved,
        'state': {numbers[old]: kept for old, kept in saved['state'].items()},
        'param_groups': [
            {
                **settings[group[0]],
                'params': [numbers[groups[i]['params'][0]] for i in group],
                NAMES: [trained[i] for i in group],
            }
            for group in members
        ],
    }
    firsts = [group[0] for group in members]
    for schedule in checkpoint.get('param_schedulers') or []:
        for key in PER_GROUP:
            if isinstance(values := schedule.get(key), list):
                schedule[key] = [values[i] for i in firsts] + values[len(groups) :]
