# RegNetY-16GF teaches DeiT-Base's distillation token and patches by hard labels: CSKD,
# arXiv:2307.08500
#   bash tools/dist_train.sh configs/cskd/cskd_deit-base_regnety-16gf_8xb64_in1k.py 8
# Its figures in the authors' table are in metafile.yml; not yet reproduced.
_base_ = ['../vitkd/vitkd_deit-base_deit3-large_8xb128_in1k.py', './_base_/cskd.py']

model = dict(
    student=_base_.cskd_student,
    teacher=_base_.regnety_teacher,
    task_weight=0.5,
    terms=dict(_delete_=True, **_base_.cskd_terms),
)
optim_wrapper = dict(
    optimizer=dict(lr=2.5e-4),
    paramwise_cfg=_base_.distilled_paramwise_cfg,
    clip_grad=None,
)
param_scheduler = _base_.cskd_scheduler
custom_hooks = [
    dict(type='EMAHook', momentum=4e-5, priority='ABOVE_NORMAL'),
    _base_.cskd_hook,
]

# 8 GPUs x 64 = 512, at half of the rate of DeiT's recipe, as released
train_dataloader = dict(batch_size=64, sampler=_base_.cskd_sampler)
auto_scale_lr = dict(base_batch_size=512)
