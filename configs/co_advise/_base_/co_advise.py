# What Co-advise changes in a config of MMPretrain's DeiT: the student, and a term of
# soft labels for each of two teachers, called conv and inv for their biases. As
# released, all weights and the temperature are 1.
cross_bias_student = dict(
    backbone=dict(type='CrossBiasViT'),
    head=dict(type='ExtraTokenClsHead', extra_tokens=['conv', 'inv']),
)
# the plain variant: learned tokens in the place of the stems and their means
extra_token_backbone = dict(type='ExtraTokenViT', extra_tokens=2)

co_advise_terms = dict(
    conv=dict(
        student='head.layers.head_conv',
        teacher='conv:head',
        loss=dict(type='KDLoss', temperature=1.0, loss_weight=1.0),
    ),
    inv=dict(
        student='head.layers.head_inv',
        teacher='inv:head',
        loss=dict(type='KDLoss', temperature=1.0, loss_weight=1.0),
    ),
)
