# RegNetY-4GF and RedNet-101 teach a DeiT-Small with two stems, Co-advise,
# arXiv:2106.12378
#   CONFIG=configs/co_advise/co-advise_deit-small_regnety-4gf-rednet101_8xb128_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = [
    '../vitkd/vitkd_deit-small_deit3-base_8xb128_in1k.py',
    './_base_/rednet.py',
]

model = dict(
    student=_base_.cross_bias_student,
    teacher=None,
    teachers=dict(
        conv=dict(
            cfg=dict(type='TimmClassifier', model_name='regnety_040'),
            checkpoint='https://github.com/huggingface/pytorch-image-models/'
            'releases/download/v0.1-tpu-weights/regnety_040_ra3-670e1166.pth',
        ),
        inv=_base_.rednet101_teacher,
    ),
    terms=dict(_delete_=True, **_base_.co_advise_terms),
)
optim_wrapper = dict(clip_grad=_base_.co_advise_clip_grad)
