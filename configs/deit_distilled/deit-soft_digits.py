# DeiT's distillation token by soft labels on digits, after digits_teacher-resnet.py.
#   python tools/train.py configs/deit_distilled/deit-soft_digits.py
_base_ = './deit-hard_digits.py'

model = dict(
    task_weight=0.9,
    terms=dict(
        dist=dict(
            loss=dict(_delete_=True, type='KDLoss', temperature=3.0, loss_weight=0.1)
        )
    ),
)
