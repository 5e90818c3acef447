# LightlyTrain's third distillation method on digits, without labels and without a head,
# after digits_teacher.py.
#   python tools/train.py configs/lightly_train/lightly-v3_digits.py
_base_ = [
    '../digits/digits_student.py',
    '../_base_/models/teacher-vit-w128_digits.py',
    './_base_/terms.py',
]

_base_.lightly_terms.queue.loss.size = 128  # as released for 500 to 1,000 images
model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    # images alone are mixed, by shares that are uniform in (0, 1)
    student={
        **_base_.model,
        'head': None,
        'train_cfg': dict(augments=dict(type='Mixup', alpha=1.0)),
    },
    teacher=dict(
        cfg=_base_.teacher_model,
        checkpoint='work_dirs/digits_teacher/epoch_40.pth',
    ),
    task_weight=0,
    terms=_base_.lightly_terms,
)

train_dataloader = dict(dataset=dict(num_labels=None))  # all 700 images
# 57 ep * 14 iters/ep = 798 iters, as many as with 200 images
train_cfg = dict(max_epochs=57, val_interval=19)
val_evaluator = test_evaluator = []  # without a head, the hook below validates
custom_hooks = [dict(type='mmvitkd.FeatureProbeHook', k=20)]
default_hooks = dict(checkpoint=dict(save_best='knn20/top1'))
