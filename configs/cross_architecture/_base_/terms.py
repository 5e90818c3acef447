# The terms of cross-architecture distillation without their taps, and soft labels. What
# is the paper's, the released code's and ours: README.md.
kd_term = dict(
    student='head',
    teacher='head',
    loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.5),
)
cross_terms = dict(
    attention=dict(
        neck=dict(type='PartialCrossAttentionNeck'),
        loss=dict(
            type='PartialCrossAttentionLoss',
            attention=0.2,
            values=0.05,
            loss_weight=0.2,
        ),
    ),
    features=dict(
        neck=dict(type='AdversarialNeck'),
        loss=dict(type='AdversarialFeatureLoss', loss_weight=0.2 * 0.05),
    ),
)
# up to the 0.2 of the weights: min(max(epoch - 25, 0) / 50, 0.2)
ramp = dict(kind='ramp', begin=25, end=35)
cross_hooks = [
    dict(type='mmvitkd.TermWeightHook', terms=dict(attention=ramp, features=ramp)),
    dict(type='mmvitkd.StudentViewHook'),
]
cross_keys = {
    '.discriminator': dict(lr_mult=0.01),
    # the relations of values are of their fourth power
    'attention.neck': dict(lr_mult=0.1),
}
