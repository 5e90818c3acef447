# The student alone: what distillation is compared with.
#   python tools/train.py configs/digits/digits_student.py
_base_ = [
    '../_base_/models/vit-w32_digits.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/digits.py',
    '../_base_/default_runtime.py',
]

# it sees 200 labels, its teacher has seen 700: a student with all of them has little
# left to learn from a teacher
train_dataloader = dict(dataset=dict(num_labels=200))
# 200 ep = 800 iters * 50 images/iter / 200 images/ep
train_cfg = dict(max_epochs=200, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=50, max_keep_ckpts=1))
