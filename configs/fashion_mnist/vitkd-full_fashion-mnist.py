# ViTKD at full scale, for a GPU, after teacher-full_fashion-mnist.py.
#   python tools/train.py configs/fashion_mnist/vitkd-full_fashion-mnist.py
_base_ = [
    './student-full_fashion-mnist.py',
    '../_base_/terms/vitkd_fashion-mnist-full.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmvitkd::fashion_mnist/teacher-full_fashion-mnist.py',
        checkpoint='work_dirs/teacher-full_fashion-mnist/epoch_20.pth',
    ),
    terms=_base_.vitkd_terms,
)
