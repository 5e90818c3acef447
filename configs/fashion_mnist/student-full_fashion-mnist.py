# The student alone at full scale, for a GPU: DeiT-Tiny, 8x8 tokens, the 50,000 labels.
#   python tools/train.py configs/fashion_mnist/student-full_fashion-mnist.py
_base_ = './fashion-mnist_student.py'

model = dict(backbone=dict(arch='deit-tiny', patch_size=4), head=dict(in_channels=192))

# in bfloat16, 500 images a step, which one GPU takes at a rate that 12 workers feed
train_dataloader = dict(
    batch_size=500,
    num_workers=12,
    persistent_workers=True,
    dataset=dict(num_labels=None),
)
optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16', optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', convert_to_iter_based=True),
]
# 20 ep = 2000 iters * 500 images/iter / 50000 images/ep
train_cfg = dict(max_epochs=20, val_interval=5)
default_hooks = dict(checkpoint=dict(interval=5))
