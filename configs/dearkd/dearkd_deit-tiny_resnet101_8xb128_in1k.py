# ResNet-101 teaches a DeiT-Tiny with convolutional attention, DearKD, arXiv:2204.12997
#   CONFIG=configs/dearkd/dearkd_deit-tiny_resnet101_8xb128_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
# Its figures in the paper are in metafile.yml; not reproducible from public facts.
_base_ = [
    '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py',
    './_base_/resnet101.py',
]

model = dict(
    student=_base_.dearkd_student,
    teacher=_base_.resnet_teacher,
    task_weight=0.5,
    terms=dict(_delete_=True, **_base_.dearkd_terms),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=_base_.dearkd_keys))
custom_hooks = _base_.dearkd_hooks
