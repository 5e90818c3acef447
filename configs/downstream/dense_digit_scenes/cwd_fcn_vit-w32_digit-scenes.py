# CWD on the logits of FCN, after fcn_vit-w128_digit-scenes.py
_base_ = '../digit_scenes/fcn_vit-w32_digit-scenes.py'

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmvitkd::downstream/dense_digit_scenes/fcn_vit-w128_digit-scenes.py',
        checkpoint='work_dirs/fcn_vit-w128_digit-scenes/epoch_40.pth',
    ),
    # a sixteenth of configs/segmentation's weight, which is too large here (README.md)
    terms=dict(
        cwd=dict(
            student='decode_head.conv_seg',
            teacher='decode_head.conv_seg',
            loss=dict(type='mmvitkd.CWDLoss', temperature=1.0, loss_weight=5 / 16),
        )
    ),
)
