# DINOv2-Large teaches a ViT-Base of patches of 14 without labels by Proteus (ICLR 2025)
#   bash tools/dist_train.sh \
#     configs/proteus/proteus_vit-base_dinov2-large_4xb128_in1k.py 4
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './proteus_vit-tiny_dinov2-small_4xb128_in1k.py'

model = dict(
    student=dict(backbone=dict(arch='deit-base')),
    teacher=dict(cfg=dict(model_name='vit_large_patch14_dinov2.lvd142m')),
)
