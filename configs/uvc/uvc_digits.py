# UVC's first stage on digits, to half of the multiply-adds: which blocks of the trained
# student can be skipped, taught by itself. After digits_student.py.
#   python tools/train.py configs/uvc/uvc_digits.py
_base_ = '../digits/digits_student.py'

uncompressed = 'work_dirs/digits_student/epoch_200.pth'

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=dict(
        _base_.model, init_cfg=dict(type='Pretrained', checkpoint=uncompressed)
    ),
    teacher=dict(cfg=_base_.model, checkpoint=uncompressed),
    task_weight=0.9,
    terms=dict(
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(
                type='KDLoss', temperature=1.0, reduction='mean', loss_weight=0.1
            ),
        ),
    ),
)
# 100 ep * 4 iters/ep = 400 iters, where ImageNet has 75,000: the gates are updated
# more often, and feel the price more
custom_hooks = [
    dict(
        type='mmvitkd.BlockSkippingHook',
        budget=0.55,
        interval=5,
        lr=0.2,
        resource_weight=0.01,
    )
]
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_epochs=100, val_interval=10)
