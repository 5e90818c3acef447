_base_ = [
    '../_base_/models/vit-w32_digits.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/digits.py',
    '../_base_/default_runtime.py',
]

# few labels: the regime in which a teacher has something to give
train_dataloader = dict(dataset=dict(num_labels=200))
