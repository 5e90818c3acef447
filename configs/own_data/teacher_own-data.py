# Fine-tunes the teacher on the same images: only for NKD, which compares logits.
#   python -m mmvitkd new-config teacher_own-data my_teacher.py
#   python -m mmvitkd train my_teacher.py --amp
_base_ = './vitkd_own-data.py'  # its data, its schedule, the teacher's weights

model = dict(
    _delete_=True,
    type='ImageClassifier',
    backbone=dict(
        type='mmvitkd.DeiT3',  # MMPretrain's DeiT3 does not compute what was trained
        arch='s',
        img_size=_base_.image_size,
        patch_size=16,
        drop_path_rate=0.05,
        init_cfg=dict(
            type='Pretrained', checkpoint=_base_.teacher_checkpoint, prefix='backbone.'
        ),
    ),
    head=dict(_base_.model.student.head, in_channels=384),
    train_cfg=_base_.model.student.train_cfg,
)
