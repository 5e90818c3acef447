# VkD on digits, after digits_teacher-resnet.py.
#   python tools/train.py configs/vkd/vkd_digits.py
_base_ = [
    '../digits/digits_student.py',
    '../_base_/models/teacher-resnet18_digits.py',
    './_base_/vkd.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=dict(
        type='ImageClassifier',
        backbone={
            **_base_.model.backbone,
            **_base_.conv_stem_student.backbone,
            'stem_channels': 32,
        },
        head={**_base_.model.head, **_base_.conv_stem_student.head},
    ),
    teacher=dict(
        cfg=_base_.teacher_model,
        checkpoint='work_dirs/digits_teacher-resnet/epoch_40.pth',
    ),
    terms=dict(
        dist={**_base_.vkd_terms.dist, 'teacher': 'head'},
        vkd={
            **_base_.vkd_terms.vkd,
            'teacher': dict(path='backbone.layer4', tokens='mean'),
        },
    ),
)
