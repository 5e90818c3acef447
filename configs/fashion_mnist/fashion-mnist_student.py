# The student alone: what distillation is compared with.
#   python tools/train.py configs/fashion_mnist/fashion-mnist_student.py
_base_ = [
    '../_base_/models/vit-w32_fashion-mnist.py',
    '../_base_/datasets/fashion-mnist.py',
    '../_base_/schedules/fashion-mnist.py',
    '../_base_/default_runtime.py',
]

# it sees 2,000 labels, its teacher has seen 50,000
train_dataloader = dict(dataset=dict(num_labels=2000))
# 100 ep = 2000 iters * 100 images/iter / 2000 images/ep
train_cfg = dict(max_epochs=100, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=50, max_keep_ckpts=1))
