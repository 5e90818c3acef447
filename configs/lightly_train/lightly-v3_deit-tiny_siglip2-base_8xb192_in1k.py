# SigLIP 2-Base teaches DeiT-Tiny without labels, by LightlyTrain's v3
#   bash tools/dist_train.sh \
#     configs/lightly_train/lightly-v3_deit-tiny_siglip2-base_8xb192_in1k.py 8
# Not yet run here.
_base_ = './lightly-v3_deit-tiny_dinov3-base_8xb192_in1k.py'

# it has no class token; its attention pooling stands for the image
model = dict(
    teacher=dict(cfg=dict(model_name='vit_base_patch16_siglip_224.v2_webli')),
    terms=dict(queue=dict(teacher=dict(_delete_=True, path='model.attn_pool'))),
)
