# The same from WebDataset's tar shards, such as those of timm/imagenet-1k-wds on
# Hugging Face, without an unpacked ImageNet; the first 32 shards are the labelled
# neighbours by which the student is judged.
#   bash tools/dist_train.sh \
#     configs/lightly_train/lightly-v3_deit-tiny_dinov3-base_8xb192_in1k-shards.py 8
# Not yet run here.
_base_ = './lightly-v3_deit-tiny_dinov3-base_8xb192_in1k.py'

shards = 'data/imagenet-wds'

train_dataloader = dict(
    num_workers=8,
    dataset=dict(
        _delete_=True,
        type='mmvitkd.WebDatasetImages',
        shards=f'{shards}/imagenet1k-train-{{0000..1023}}.tar',
        num_samples=1281167,
        pipeline=_base_.train_pipeline,
    ),
    sampler=None,
)
# read by the row, from a copy in Hugging Face's cache
table = dict(
    type='mmvitkd.HuggingFaceImages',
    path='webdataset',
    image='jpg',
    label='cls',
    pipeline=_base_.test_pipeline,
)
val_dataloader = dict(
    dataset=dict(
        table,
        _delete_=True,
        load=dict(data_files=f'{shards}/imagenet1k-validation-*.tar'),
    )
)
test_dataloader = val_dataloader
_base_.custom_hooks[0].update(
    dataset=dict(
        table, load=dict(data_files=f'{shards}/imagenet1k-train-00[0-2]?.tar')
    ),
)
custom_hooks = _base_.custom_hooks
