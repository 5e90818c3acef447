# ViTKD on Fashion-MNIST with the weights that `compare --methods fashion-mnist` chose
# on the validation split, 64 times those on digits and 32 times those of its base;
# after fashion-mnist_teacher.py.
#   python tools/train.py configs/fashion_mnist/vitkd-tuned_fashion-mnist.py
_base_ = './vitkd_fashion-mnist.py'

model = dict(
    terms=dict(
        mimic0=dict(loss=dict(loss_weight=0.064)),
        mimic1=dict(loss=dict(loss_weight=0.064)),
        gen=dict(loss=dict(loss_weight=0.0064)),
    )
)
