# The teacher at full scale, for a GPU: DeiT-Small, trained as its student is.
#   python tools/train.py configs/fashion_mnist/teacher-full_fashion-mnist.py
_base_ = './student-full_fashion-mnist.py'

model = dict(backbone=dict(arch='deit-small'), head=dict(in_channels=384))
