# Co-advise on digits, after digits_teacher-resnet.py and digits_teacher.py.
#   python tools/train.py configs/co_advise/co-advise_digits.py
_base_ = ['../digits/digits_student.py', './_base_/co_advise.py']

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=dict(
        type='ImageClassifier',
        backbone={
            **_base_.model.backbone,
            **_base_.cross_bias_student.backbone,
            'stem_channels': 32,
        },
        head={**_base_.model.head, **_base_.cross_bias_student.head},
    ),
    teachers=dict(
        conv=dict(
            cfg='mmvitkd::digits/digits_teacher-resnet.py',
            checkpoint='work_dirs/digits_teacher-resnet/epoch_40.pth',
        ),
        # stands in for an involution network: attention, a bias of its own too
        inv=dict(
            cfg='mmvitkd::digits/digits_teacher.py',
            checkpoint='work_dirs/digits_teacher/epoch_40.pth',
        ),
    ),
    terms=_base_.co_advise_terms,
)
