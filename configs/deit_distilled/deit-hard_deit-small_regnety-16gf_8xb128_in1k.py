# RegNetY-16GF teaches DeiT-Small's distillation token by hard labels, arXiv:2012.12877
#   bash tools/dist_train.sh \
#     configs/deit_distilled/deit-hard_deit-small_regnety-16gf_8xb128_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = [
    '../vitkd/vitkd_deit-small_deit3-base_8xb128_in1k.py',
    './_base_/regnety-16gf.py',
]

model = dict(
    student=_base_.distilled_student,
    teacher=_base_.regnety_teacher,
    task_weight=0.5,
    terms=dict(_delete_=True, dist=_base_.hard_term),
)
optim_wrapper = dict(paramwise_cfg=_base_.distilled_paramwise_cfg)
