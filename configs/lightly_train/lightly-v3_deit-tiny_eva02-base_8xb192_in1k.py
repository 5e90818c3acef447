# EVA-02-Base teaches DeiT-Tiny without labels, by LightlyTrain's v3
#   bash tools/dist_train.sh \
#     configs/lightly_train/lightly-v3_deit-tiny_eva02-base_8xb192_in1k.py 8
# Not yet run here.
_base_ = './lightly-v3_deit-tiny_dinov3-base_8xb192_in1k.py'

# 196 pixels in patches of 14 are the student's 14x14 grid
model = dict(
    teacher=dict(cfg=dict(model_name='eva02_base_patch14_224.mim_in22k', img_size=196))
)
