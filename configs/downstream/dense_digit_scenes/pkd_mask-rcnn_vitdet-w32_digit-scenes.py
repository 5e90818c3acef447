# PKD on the pyramid of Mask R-CNN, after mask-rcnn_vitdet-w128_digit-scenes.py
_base_ = '../digit_scenes/mask-rcnn_vitdet-w32_digit-scenes.py'

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmvitkd::downstream/dense_digit_scenes/'
        'mask-rcnn_vitdet-w128_digit-scenes.py',
        checkpoint='work_dirs/mask-rcnn_vitdet-w128_digit-scenes/epoch_24.pth',
    ),
    # as configs/detection's
    terms={
        f'fpn{level}': dict(
            student=dict(path='neck', output=level),
            teacher=dict(path='neck', output=level),
            loss=dict(type='mmvitkd.ProjectorLoss', loss_weight=3.0),
        )
        for level in range(4)
    },
)
