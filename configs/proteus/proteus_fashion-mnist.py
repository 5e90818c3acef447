# Proteus on Fashion-MNIST, without labels and without a head, after
# fashion-mnist_teacher.py.
#   python tools/train.py configs/proteus/proteus_fashion-mnist.py
_base_ = [
    '../fashion_mnist/fashion-mnist_student.py',
    '../_base_/models/teacher-vit-w64_fashion-mnist.py',
    './_base_/terms.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student={**_base_.model, 'head': None},
    teacher=dict(
        cfg=_base_.teacher_model,
        checkpoint='work_dirs/fashion-mnist_teacher/epoch_15.pth',
    ),
    task_weight=0,
    terms=_base_.proteus_terms,
)

train_dataloader = dict(dataset=dict(num_labels=None))  # all 50,000 images
# 10 ep * 500 iters/ep = 5000 iters
train_cfg = dict(max_epochs=10, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=5, save_best='knn20/top1'))
val_evaluator = test_evaluator = []  # without a head, the hook below validates
custom_hooks = [dict(type='mmvitkd.FeatureProbeHook', k=20, max_images=10000)]
