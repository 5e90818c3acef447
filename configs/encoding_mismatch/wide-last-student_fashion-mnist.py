# WideLast's student alone, on Fashion-MNIST: what WideLast is compared with.
#   python tools/train.py configs/encoding_mismatch/wide-last-student_fashion-mnist.py
_base_ = '../fashion_mnist/fashion-mnist_student.py'

model = dict(
    backbone=dict(type='mmvitkd.WideLastViT', last_dims=64, last_heads=4),
    head=dict(in_channels=64),
)

# what is wider learns at half of the rate, as the teacher does, or it collapses
wide = dict(lr_mult=0.5)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'backbone.layers.5.': wide, 'head.': wide})
)
