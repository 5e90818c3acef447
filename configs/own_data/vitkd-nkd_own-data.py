# ViTKD and NKD on your own images, under the teacher that teacher_own-data.py trained.
#   python -m mmvitkd new-config vitkd-nkd_own-data my_config.py
#   python -m mmvitkd train my_config.py --amp
_base_ = './vitkd_own-data.py'  # its images

# what the teacher's run leaves
teacher_cfg = 'work_dirs/teacher_own-data/teacher_own-data.py'
teacher_checkpoint = 'work_dirs/teacher_own-data/epoch_50.pth'

model = dict(
    teacher=dict(cfg=teacher_cfg, checkpoint=teacher_checkpoint),
    terms=dict(
        nkd=dict(
            student='head',
            teacher='head',
            loss=dict(type='NKDLoss', temperature=1.0, gamma=1.0),
        ),
    ),
)
