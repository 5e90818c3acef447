# ViTKD and NKD on your own images, under the teacher that teacher_own-data.py trained.
#   python tools/train.py configs/own_data/vitkd-nkd_own-data.py --amp
_base_ = './vitkd_own-data.py'

model = dict(
    teacher=dict(
        cfg='work_dirs/teacher_own-data/teacher_own-data.py',
        checkpoint='work_dirs/teacher_own-data/epoch_50.pth',
    ),
    terms=dict(
        nkd=dict(
            student='head',
            teacher='head',
            loss=dict(type='NKDLoss', temperature=1.0, gamma=1.0),
        ),
    ),
)
