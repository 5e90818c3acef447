# ViTKD on Fashion-MNIST with 64 times the weights of its base, the factor that
# `compare --methods fashion-mnist` chose on the validation split; after
# fashion-mnist_teacher.py.
#   python tools/train.py configs/fashion_mnist/vitkd-tuned_fashion-mnist.py
_base_ = './vitkd_fashion-mnist.py'

model = dict(
    terms=dict(
        mimic0=dict(loss=dict(loss_weight=0.128)),
        mimic1=dict(loss=dict(loss_weight=0.128)),
        gen=dict(loss=dict(loss_weight=0.0128)),
    )
)
