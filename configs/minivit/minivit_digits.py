# MiniViT's relations on digits, after digits_teacher.py.
#   python tools/train.py configs/minivit/minivit_digits.py
_base_ = '../digits/vitkd_digits.py'

# the weights of the ImageNet configs: all three terms are means
model = dict(
    task_weight=0,
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=1.0),
        ),
        **{
            f'attn{i}': dict(
                student=dict(path=f'backbone.layers.{i}.attn.qkv', tokens='all'),
                teacher=dict(path=f'backbone.layers.{i}.attn.qkv', tokens='all'),
                loss=dict(type='QKVRelationLoss', loss_weight=1.0 / 3),
            )
            for i in (1, 3, 5)
        },
        **{
            f'hidden{i}': dict(
                student=dict(path=f'backbone.layers.{i}', tokens='all'),
                teacher=dict(path=f'backbone.layers.{i}', tokens='all'),
                loss=dict(type='HiddenRelationLoss', loss_weight=0.1 / 3),
            )
            for i in (1, 3, 5)
        },
    ),
)
