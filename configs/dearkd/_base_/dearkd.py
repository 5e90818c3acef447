# What DearKD changes in a config of MMPretrain's DeiT. Most of it is our choice, as its
# code is not public (README.md). Two of the RegNetY's maps, 28x28 and 14x14, teach the
# second and the fourth layer, of the four whose attention can act as a convolution.
_base_ = '../../deit_distilled/_base_/regnety-16gf.py'

dearkd_student = dict(
    backbone=dict(type='ConvAttentionViT', conv_layers=4),
    head=dict(type='ExtraTokenClsHead'),
)
# what makes attention local is not decayed
dearkd_keys = {f'.{name}': dict(decay_mult=0.0) for name in ('gate', 'focus', 'centre')}

dearkd_terms = dict(
    hard=_base_.hard_term,
    **{
        f'hidden{layer}': dict(
            student=f'backbone.layers.{layer}',
            teacher=path,
            neck=dict(type='GridAligner'),
            # the mean of two, as a whole at weight 1
            loss=dict(type='ViTKDMimicLoss', loss_weight=0.5, reduction='mean'),
        )
        for layer, path in ((1, 'model.s2'), (3, 'model.s3.b5'))
    },
)

# stage II, the last 50 of 300 epochs: the labels alone, at their full weight
dearkd_hooks = [
    dict(
        type='mmvitkd.TermWeightHook',
        terms={
            name: dict(kind='stop', end=250) for name in ('hard', 'hidden1', 'hidden3')
        },
        task_weight=dict(kind='stop', end=250, factor_after=2),
    )
]
