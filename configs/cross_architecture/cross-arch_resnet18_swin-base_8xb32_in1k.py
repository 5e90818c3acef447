# Swin-Base teaches ResNet-18 across architectures, arXiv:2207.05273
#   CONFIG=configs/cross_architecture/cross-arch_resnet18_swin-base_8xb32_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
_base_ = ['./_base_/resnet18.py', './_base_/swin-base.py']

model = _base_.taught_by
