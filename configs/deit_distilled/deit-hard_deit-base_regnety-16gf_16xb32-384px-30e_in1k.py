# RegNetY-16GF goes on teaching DeiT-Base, at 384 pixels, arXiv:2012.12877. After
# deit-hard_deit-base_regnety-16gf_8xb128_in1k.py:
#   C=configs/deit_distilled/deit-hard_deit-base_regnety-16gf_16xb32-384px-30e_in1k.py
#   bash tools/dist_train.sh $C 16
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = ['../_base_/students/deit-base_in1k-384px.py', './_base_/regnety-16gf.py']

# what the run at 224 pixels leaves; positions are interpolated
student_checkpoint = (
    'work_dirs/deit-hard_deit-base_regnety-16gf_8xb128_in1k/epoch_300.pth'
)

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=dict(
        _base_.model,
        backbone={**_base_.model.backbone, **_base_.distilled_student.backbone},
        head={**_base_.model.head, 'type': 'mmvitkd.ExtraTokenClsHead'},
        init_cfg=dict(
            type='Pretrained', checkpoint=student_checkpoint, prefix='student.'
        ),
    ),
    teacher=dict(
        cfg=_base_.regnety_teacher.cfg, checkpoint=_base_.regnety_teacher.checkpoint
    ),
    task_weight=0.5,
    terms=dict(dist=_base_.hard_term),
)

# 16 GPUs x 32 = 512; a constant rate and next to no decay, as released
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(
    optimizer=dict(lr=5e-6, weight_decay=1e-8),
    paramwise_cfg=_base_.distilled_paramwise_cfg,
)
param_scheduler = []
train_cfg = dict(max_epochs=30)
auto_scale_lr = dict(base_batch_size=512)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
custom_hooks = []  # no moving average of the weights
