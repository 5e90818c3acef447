# RegNetY-16GF teaches DeiT-Tiny's distillation token and patches by hard labels: CSKD,
# arXiv:2307.08500
#   bash tools/dist_train.sh configs/cskd/cskd_deit-tiny_regnety-16gf_8xb128_in1k.py 8
# Its figures in the authors' table are in metafile.yml; not yet reproduced.
_base_ = ['../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py', './_base_/cskd.py']

model = dict(
    student=_base_.cskd_student,
    teacher=_base_.regnety_teacher,
    task_weight=0.5,
    terms=dict(_delete_=True, **_base_.cskd_terms),
)
train_dataloader = dict(sampler=_base_.cskd_sampler)
optim_wrapper = dict(
    paramwise_cfg=_base_.distilled_paramwise_cfg,
    clip_grad=None,
)
param_scheduler = _base_.cskd_scheduler
custom_hooks = [_base_.cskd_hook]
