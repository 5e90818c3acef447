# Swin-Base teaches MobileNetV2 across architectures, arXiv:2207.05273
#   CONFIG=configs/cross_architecture/cross-arch_mobilenet-v2_swin-base_8xb32_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
_base_ = ['./_base_/mobilenet-v2.py', './_base_/swin-base.py']

model = _base_.taught_by
