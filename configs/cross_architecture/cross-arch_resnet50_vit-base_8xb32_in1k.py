# ViT-Base teaches ResNet-50 across architectures, arXiv:2207.05273
#   CONFIG=configs/cross_architecture/cross-arch_resnet50_vit-base_8xb32_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
_base_ = ['./_base_/resnet50.py', './_base_/vit-base.py']

model = _base_.taught_by
