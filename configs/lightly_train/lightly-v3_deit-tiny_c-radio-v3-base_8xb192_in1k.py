# C-RADIOv3-Base teaches DeiT-Tiny without labels, by LightlyTrain's v3
#   bash tools/dist_train.sh \
#     configs/lightly_train/lightly-v3_deit-tiny_c-radio-v3-base_8xb192_in1k.py 8
# Not yet run here.
_base_ = './lightly-v3_deit-tiny_dinov3-base_8xb192_in1k.py'

model = dict(
    teacher=dict(cfg=dict(model_name='vit_base_patch16_radio_v3.c_radio', img_size=224))
)
