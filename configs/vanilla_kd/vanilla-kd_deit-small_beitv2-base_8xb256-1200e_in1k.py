# BEiTv2-Base teaches DeiT-Small by soft labels for 1,200 epochs: VanillaKD,
# arXiv:2305.15781
#   bash tools/dist_train.sh \
#     configs/vanilla_kd/vanilla-kd_deit-small_beitv2-base_8xb256-1200e_in1k.py 8
# Its figures in the authors' table are in metafile.yml; not yet reproduced.
_base_ = ['../_base_/students/deit-small_in1k.py', './_base_/strategy_a1.py']

model = dict(
    _delete_=True,
    **_base_.vanilla_kd,
    student={
        **_base_.model,
        'backbone': {**_base_.model.backbone, **_base_.vanilla_student.backbone},
        'head': {
            **_base_.model.head,
            'loss': {**_base_.model.head.loss, **_base_.vanilla_student.head.loss},
        },
        'train_cfg': _base_.vanilla_student.train_cfg,
    },
)

# no erasing
train_pipeline = [
    dict(t, **_base_.a1_pipeline.get(t['type'], {}))
    for t in _base_.train_pipeline
    if t['type'] != 'RandomErasing'
]
# 8 GPUs x 256 = 2048, three times the same image in an epoch
train_dataloader = dict(
    batch_size=256,
    dataset=dict(pipeline=train_pipeline),
    sampler=dict(type='RepeatAugSampler'),
)
optim_wrapper = _base_.a1_optim_wrapper
auto_scale_lr = dict(base_batch_size=2048)
param_scheduler = _base_.a1_scheduler
train_cfg = dict(max_epochs=1200)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))
