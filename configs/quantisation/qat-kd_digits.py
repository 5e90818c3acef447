# Quantisation-aware distillation on digits: the student of digits_student.py learns in
# INT8 what it knew in float32. After digits_student.py.
#   python tools/train.py configs/quantisation/qat-kd_digits.py
_base_ = '../digits/digits_student.py'

trained = 'work_dirs/digits_student/epoch_200.pth'

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    quantisation=dict(),
    student=dict(_base_.model, init_cfg=dict(type='Pretrained', checkpoint=trained)),
    teacher=dict(cfg=_base_.model, checkpoint=trained),
    task_weight=0.5,
    terms=dict(
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.5),
        ),
    ),
)
# a twentieth of the rate that it was trained with
optim_wrapper = dict(optimizer=dict(lr=4e-4))
param_scheduler = [dict(type='CosineAnnealingLR', convert_to_iter_based=True)]
# 25 ep = 100 iters * 50 images/iter / 200 images/ep
train_cfg = dict(max_epochs=25, val_interval=5)
