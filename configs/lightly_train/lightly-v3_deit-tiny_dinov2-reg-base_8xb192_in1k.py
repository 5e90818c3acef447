# DINOv2-Base with registers teaches DeiT-Tiny without labels, by LightlyTrain's v3
#   bash tools/dist_train.sh \
#     configs/lightly_train/lightly-v3_deit-tiny_dinov2-reg-base_8xb192_in1k.py 8
# Not yet run here.
_base_ = './lightly-v3_deit-tiny_dinov3-base_8xb192_in1k.py'

# 196 pixels in patches of 14 are the student's 14x14 grid
model = dict(
    teacher=dict(
        cfg=dict(model_name='vit_base_patch14_reg4_dinov2.lvd142m', img_size=196)
    )
)
