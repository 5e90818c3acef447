# Swin-Base (ImageNet-21K) teaches Swin-Tiny by ViTKD and NKD, arXiv:2303.13005
#   bash tools/dist_train.sh \
#     configs/vitkd/vitkd-nkd_swin-tiny_swin-base_8xb128_in1k.py 8
# The paper has no figure for it; not yet run.
_base_ = ['./vitkd_swin-tiny_swin-base_8xb128_in1k.py', '../_base_/terms/nkd.py']

model = dict(terms=dict(nkd=_base_.nkd_term))
