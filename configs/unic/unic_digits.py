# UNIC on digits, without labels and without a head: two teachers, after
# digits_teacher.py and digits_teacher-resnet.py.
#   python tools/train.py configs/unic/unic_digits.py
_base_ = ['../digits/digits_student.py', './_base_/terms.py']

# a CNN has no class token: the mean of its map stands for the image
_base_.unic_terms.other_token.teacher = dict(
    path='other:backbone.layer4', tokens='mean'
)
_base_.unic_terms.other_patch.teacher = 'other:backbone.layer2'  # on a 4x4 grid, too
for _schedule in _base_.unic_hook.settings.values():
    _schedule.end = 57
del _schedule
model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student={**_base_.model, 'head': None},
    teachers=dict(
        one=dict(
            cfg='mmvitkd::digits/digits_teacher.py',
            checkpoint='work_dirs/digits_teacher/epoch_40.pth',
        ),
        other=dict(
            cfg='mmvitkd::digits/digits_teacher-resnet.py',
            checkpoint='work_dirs/digits_teacher-resnet/epoch_40.pth',
        ),
    ),
    task_weight=0,
    teacher_dropping=0.5,
    terms=_base_.unic_terms,
)

train_dataloader = dict(dataset=dict(num_labels=None))  # all 700 images
# 57 ep * 14 iters/ep = 798 iters, as many as with 200 images
train_cfg = dict(max_epochs=57, val_interval=19)
val_evaluator = test_evaluator = []  # without a head, the hook below validates
custom_hooks = [_base_.unic_hook, dict(type='mmvitkd.FeatureProbeHook', k=20)]
default_hooks = dict(checkpoint=dict(save_best='knn20/top1'))
