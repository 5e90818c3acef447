# DF-DearKD on digits, after digits_teacher-resnet.py: the student sees no scan, but
# images that are made of its teacher.
#   C=configs/dearkd/df-dearkd_digits.py
#   python -m mmvitkd synthesise $C --out work_dirs/df-dearkd_digits_images \
#     --count 500 --batch-size 100 --coarse-steps 0 --steps 150 --jitter 2 --no-flip \
#     --statistics-weight 0.05 --variation-weight 0.1
#   python tools/train.py $C
_base_ = './dearkd_digits.py'

images = 'work_dirs/df-dearkd_digits_images'

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmvitkd.ImageFolder',
        data_root=images,
        split='train',
        num_classes=10,
        pipeline=[dict(type='LoadImageFromFile'), *_base_.train_pipeline],
    )
)
# 80 ep = 800 iters * 50 images/iter / 500 images/ep; stage II from 80 * 250 / 300 on
train_cfg = dict(max_epochs=80, val_interval=4)
stop = dict(kind='stop', end=67)
custom_hooks = [
    dict(
        type='mmvitkd.TermWeightHook',
        terms=dict(hard=stop, hidden0=stop, hidden1=stop),
        task_weight=dict(**stop, factor_after=2),
    )
]
default_hooks = dict(checkpoint=dict(interval=20))
