# ViTKD on Fashion-MNIST, after fashion-mnist_teacher.py.
#   python tools/train.py configs/fashion_mnist/vitkd_fashion-mnist.py
_base_ = [
    './fashion-mnist_student.py',
    '../_base_/models/teacher-vit-w64_fashion-mnist.py',
    '../_base_/terms/vitkd_fashion-mnist.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg=_base_.teacher_model,
        checkpoint='work_dirs/fashion-mnist_teacher/epoch_15.pth',
    ),
    terms=_base_.vitkd_terms,
)
