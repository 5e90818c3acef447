# DeiT-Base teaches EfficientNet-B0 across architectures, arXiv:2207.05273
#   CONFIG=configs/cross_architecture/cross-arch_efficientnet-b0_deit-base_8xb32_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
_base_ = ['./_base_/efficientnet-b0.py', './_base_/deit-base.py']

model = _base_.taught_by
