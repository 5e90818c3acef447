# What VkD changes in a config of MMPretrain's DeiT: a convolutional stem, whose mean is
# the distillation token; soft labels to that token; and the mean of the patches, by an
# orthogonal projection, under the mean of the RegNetY's last map. All weights are 1.
_base_ = '../../deit_distilled/_base_/regnety-16gf.py'

conv_stem_student = dict(
    backbone=dict(type='CrossBiasViT', stems=['conv']),
    head=dict(type='ExtraTokenClsHead', extra_tokens=['dist']),
)
vkd_terms = dict(
    dist=dict(
        student='head.layers.head_dist',
        teacher='model.head',
        loss=dict(type='KDLoss', temperature=1.0, loss_weight=1.0),
    ),
    vkd=dict(
        student=dict(path='backbone.ln1', tokens='mean'),
        teacher=dict(path='model.s4', tokens='mean'),
        neck=dict(type='OrthogonalProjector'),
        loss=dict(type='SmoothL1Loss', loss_weight=1.0),
    ),
)

# as released: no warm-up, the cosine at every step, no clipping
vkd_scheduler = [
    dict(type='CosineAnnealingLR', eta_min=5e-6, convert_to_iter_based=True)
]
