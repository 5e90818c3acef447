# What CSKD adds to DeiT's distillation token: its classifier sees the patches, too,
# under what the RegNetY's classifier says of every place of its last map, at weight 1.
_base_ = '../../deit_distilled/_base_/regnety-16gf.py'

cskd_student = dict(
    backbone=dict(
        type='DistilledVisionTransformer', out_type='raw', drop_path_rate=0.0
    ),
    head=dict(type='CSKDClsHead'),
)
cskd_terms = dict(
    dist=dict(
        student=dict(path='head.layers.head_dist', tokens='cls'),
        teacher='model.head',
        loss=dict(type='HardKDLoss', loss_weight=0.5),
    ),
    dense=dict(
        student='head.layers.head_dist',
        teacher=dict(path='model.s4', through='model.head.fc'),
        neck=dict(type='GridPooler'),
        loss=dict(type='CSKDLoss', loss_weight=1.0),
    ),
)
# from what each place says to what the whole image says
cskd_hook = dict(
    type='mmvitkd.TermWeightHook',
    settings={'dense.global_share': dict(kind='ramp', end=300)},
)

# as released: images three times in an epoch, a short warm-up, no clipping
cskd_sampler = dict(type='RepeatAugSampler')
cskd_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=5),
]
