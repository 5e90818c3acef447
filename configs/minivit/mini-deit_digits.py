# MiniViT's relations on digits, for a student whose layers share their weights two by
# two, after digits_teacher.py.
#   python tools/train.py configs/minivit/mini-deit_digits.py
_base_ = './minivit_digits.py'

# It has no class token, so the relations are those of the patches. The maps over heads
# begin as the identity, for a short training; as released they begin near zero.
model = dict(
    student=dict(
        backbone=dict(type='MiniDeiT', share_num=2, identity_init=True),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead'),
    ),
    terms={
        f'{kind}{i}': dict(student=dict(tokens='patch'), teacher=dict(tokens='patch'))
        for kind in ('attn', 'hidden')
        for i in (1, 3, 5)
    },
)
