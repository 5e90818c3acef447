# What Mini-DeiT changes in a config of MMPretrain's DeiT. Its teacher is a CNN without
# queries, keys and values, so its logits are all there is to learn from.
_base_ = '../../deit_distilled/_base_/regnety-16gf.py'

# without a class token, so with the mean of all tokens
mini_deit_student = dict(
    backbone=dict(type='MiniDeiT', share_num=2),
    neck=dict(_delete_=True, type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', init_cfg=None),  # begins as the whole student does
)

# as released: soft labels alone, and the mean over the classes, too
mini_deit_term = dict(
    student='head',
    teacher='model.head',
    loss=dict(type='KDLoss', temperature=1.0, reduction='mean'),
)
