# What DeiT's distillation token changes in a config of MMPretrain's DeiT: student,
# teacher from timm, and the term, for hard labels at half the weight.
distilled_student = dict(
    backbone=dict(type='DistilledVisionTransformer'),
    head=dict(type='ExtraTokenClsHead'),
)
# the token is not decayed, as the class token is not
distilled_paramwise_cfg = dict(custom_keys={'.dist_token': dict(decay_mult=0.0)})

regnety_teacher = dict(
    _delete_=True,
    cfg=dict(type='TimmClassifier', model_name='regnety_160'),
    checkpoint='https://dl.fbaipublicfiles.com/deit/regnety_160-a5fe301d.pth',
)

hard_term = dict(
    student='head.layers.head_dist',
    teacher='model.head',
    loss=dict(type='HardKDLoss', loss_weight=0.5),
)
