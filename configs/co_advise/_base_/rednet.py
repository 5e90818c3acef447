# RedNets of 26 and 101 layers as teachers; their authors publish weights by links of
# https://github.com/d-li14/involution, to be put where `checkpoint` says.
_base_ = './co_advise_timm.py'

co_advise_terms = dict(inv=dict(teacher='inv:head'))

rednet26_teacher = dict(
    cfg=dict(
        type='ImageClassifier',
        backbone=dict(type='mmvitkd.RedNet', depth=26),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=1000, in_channels=2048),
    ),
    checkpoint='checkpoints/rednet26.pth',
)
rednet101_teacher = dict(
    cfg=dict(
        type='ImageClassifier',
        backbone=dict(type='mmvitkd.RedNet', depth=101),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=1000, in_channels=2048),
    ),
    checkpoint='checkpoints/rednet101.pth',
)
