# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny by FitNet's hints on the last 6 layers
#   bash tools/dist_train.sh \
#     configs/fitnet/fitnet-last6_deit-tiny_deit3-small_8xb128_in1k.py 8
# Top-1 in ViTKD's table 1: 73.76 under DeiT-Small, none under this teacher.
_base_ = './fitnet-last_deit-tiny_deit3-small_8xb128_in1k.py'

model = dict(
    terms={
        f'fitnet{i}': dict(
            student=f'backbone.layers.{i}',
            teacher=f'backbone.layers.{i}',
            neck=dict(type='LinearProjector'),
            loss=dict(type='ViTKDMimicLoss', loss_weight=3e-5),
        )
        for i in range(6, 11)  # 11 is inherited
    }
)
