# ViTKD on digits, after digits_teacher.py.
#   python tools/train.py configs/digits/vitkd_digits.py
_base_ = [
    './digits_student.py',
    '../_base_/models/teacher-vit-w128_digits.py',
    '../_base_/terms/vitkd_digits.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg=_base_.teacher_model,
        checkpoint='work_dirs/digits_teacher/epoch_40.pth',
    ),
    terms=_base_.vitkd_terms,
)
