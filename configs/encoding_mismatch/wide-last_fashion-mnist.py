# WideLast on Fashion-MNIST, after fashion-mnist_teacher.py.
#   python tools/train.py configs/encoding_mismatch/wide-last_fashion-mnist.py
_base_ = [
    './wide-last-student_fashion-mnist.py',
    '../_base_/models/teacher-vit-w64_fashion-mnist.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg=_base_.teacher_model,
        checkpoint='work_dirs/fashion-mnist_teacher/epoch_15.pth',
    ),
    task_weight=0.1,
    terms=dict(
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.9),
        ),
        mse=dict(
            student='backbone.layers.5',
            teacher='backbone.layers.5',
            loss=dict(type='ViTKDMimicLoss', reduction='mean', loss_weight=0.2),
        ),
    ),
)
