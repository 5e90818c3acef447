# MAE-Base teaches DeiT-Tiny without labels, by LightlyTrain's v3
#   bash tools/dist_train.sh \
#     configs/lightly_train/lightly-v3_deit-tiny_mae-base_8xb192_in1k.py 8
# Not yet run here.
_base_ = './lightly-v3_deit-tiny_dinov3-base_8xb192_in1k.py'

# its class token was never taught, so the mean of its patches stands for the image
model = dict(
    teacher=dict(cfg=dict(model_name='vit_base_patch16_224.mae')),
    terms=dict(
        queue=dict(
            student=dict(_delete_=True, path='backbone.ln1'),
            teacher=dict(_delete_=True, path='model.norm'),
        )
    ),
)
