# A ViT teaches a small ResNet by soft labels alone on digits, for comparison.
#   python tools/train.py configs/cross_architecture/kd_resnet18-w8_digits.py
_base_ = './cross-arch_digits.py'

model = dict(terms=dict(_delete_=True, kd=_base_.kd_term))
custom_hooks = []
