# TinyMIM's relations on all 700 training digits, without labels, after
# digits_teacher.py.
#   python tools/train.py configs/tinymim/tinymim-pretrain_digits.py
_base_ = '../digits/vitkd_digits.py'

model = dict(
    # as many heads in the last block as the teacher has
    student=dict(backbone=dict(layer_cfgs=[*[dict()] * 5, dict(num_heads=4)])),
    task_weight=0,
    terms=dict(
        _delete_=True,
        relations=dict(
            student=dict(path='backbone.layers.5.attn.qkv', tokens='all'),
            teacher=dict(path='backbone.layers.4.attn.qkv', tokens='all'),
            loss=dict(
                type='QKVRelationLoss',
                relation_heads=4,
                relations=['qk', 'vv'],
                loss_weight=2.0,
            ),
        ),
    ),
)
# 29 ep * 14 iters/ep = 406 iters, half of the other methods'
train_dataloader = dict(dataset=dict(num_labels=None))
train_cfg = dict(max_epochs=29, val_interval=29)
