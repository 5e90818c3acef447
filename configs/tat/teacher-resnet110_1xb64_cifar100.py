# The teacher of tat_resnet20_resnet110_1xb64_cifar100.py.
#   python tools/train.py configs/tat/teacher-resnet110_1xb64_cifar100.py
_base_ = './_base_/cifar100.py'

model = _base_.resnet110
