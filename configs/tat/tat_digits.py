# The target-aware transformer on digits, between ViTs, after digits_teacher.py.
#   python tools/train.py configs/tat/tat_digits.py
_base_ = '../digits/vitkd_digits.py'

# the weights of the ImageNet config: both losses are means
model = dict(
    task_weight=0.1,
    terms=dict(
        _delete_=True,
        tat=dict(
            student='backbone.ln1',
            teacher='backbone.ln1',
            neck=dict(type='TargetAwareNeck', kernel_size=3),
            loss=dict(type='ViTKDMimicLoss', loss_weight=0.2, reduction='mean'),
        ),
    ),
)
