# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny by NKD, arXiv:2303.13005
#   bash tools/dist_train.sh configs/nkd/nkd_deit-tiny_deit3-small_8xb128_in1k.py 8
# ViTKD's paper has no figure for NKD alone under this teacher; not yet run here.
_base_ = [
    '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py',
    '../_base_/terms/nkd.py',
]

model = dict(terms=dict(_delete_=True, nkd=_base_.nkd_term))
