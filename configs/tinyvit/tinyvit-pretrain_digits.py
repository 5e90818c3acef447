# Label-free pre-training on all 700 training digits, after digits_teacher.py.
#   python tools/train.py configs/tinyvit/tinyvit-pretrain_digits.py
_base_ = '../digits/vitkd_digits.py'

model = dict(
    task_weight=0,
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=1.0),
        ),
    ),
)
# 29 ep * 14 iters/ep = 406 iters, half of the other methods'
train_dataloader = dict(dataset=dict(num_labels=None))
train_cfg = dict(max_epochs=29, val_interval=29)
