# DeiT III-Base (ImageNet-21K) teaches DeiT-Small by ViTKD and NKD, arXiv:2303.13005
#   bash tools/dist_train.sh \
#     configs/vitkd/vitkd-nkd_deit-small_deit3-base_8xb128_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = ['./vitkd_deit-small_deit3-base_8xb128_in1k.py', '../_base_/terms/nkd.py']

model = dict(terms=dict(nkd=_base_.nkd_term))
