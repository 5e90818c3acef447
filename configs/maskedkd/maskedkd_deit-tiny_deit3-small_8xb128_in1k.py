# DeiT III-Small (ImageNet-21K), which sees half of the patches, teaches DeiT-Tiny by
# soft labels, arXiv:2302.10494
#   bash tools/dist_train.sh \
#       configs/maskedkd/maskedkd_deit-tiny_deit3-small_8xb128_in1k.py 8
# The paper has no figure for this pair; not yet run here.
_base_ = '../kd/kd_deit-tiny_deit3-small_8xb128_in1k.py'

model = dict(teacher=dict(type='MaskedTeacher', keep_ratio=0.5))  # 98 of 196
