# ViTKD under a teacher with patches of 4x4 pixels, after teacher-patch4_digits.py.
_base_ = '../digits/vitkd_digits.py'

model = dict(
    teacher=dict(
        cfg=dict(backbone=dict(patch_size=4)),
        checkpoint='work_dirs/teacher-patch4_digits/epoch_40.pth',
    )
)
