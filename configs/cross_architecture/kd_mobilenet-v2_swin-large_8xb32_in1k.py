# Swin-Large teaches MobileNetV2 by soft labels alone, for comparison
#   CONFIG=configs/cross_architecture/kd_mobilenet-v2_swin-large_8xb32_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
_base_ = './cross-arch_mobilenet-v2_swin-large_8xb32_in1k.py'

model = dict(terms=dict(_delete_=True, kd=_base_.kd_term))
custom_hooks = []
