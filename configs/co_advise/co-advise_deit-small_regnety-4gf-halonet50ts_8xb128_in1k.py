# RegNetY-4GF and HaloNet-50 teach a DeiT-Small with two stems, Co-advise,
# arXiv:2106.12378
#   CONFIG=configs/co_advise/co-advise_deit-small_regnety-4gf-halonet50ts_8xb128_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
# Only the first is the paper's teacher (README.md), so it has no figure for this trio.
_base_ = [
    '../vitkd/vitkd_deit-small_deit3-base_8xb128_in1k.py',
    './_base_/co_advise_timm.py',
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
        inv=dict(
            cfg=dict(type='TimmClassifier', model_name='halonet50ts'),
            checkpoint='https://github.com/huggingface/pytorch-image-models/'
            'releases/download/v0.1-attn-weights/halonet50ts_a1h2_256-f3a3daee.pth',
            # its blocks of 8x8 fit no map of a 224x224 image
            input_size=256,
        ),
    ),
    terms=dict(_delete_=True, **_base_.co_advise_terms),
)
optim_wrapper = dict(clip_grad=_base_.co_advise_clip_grad)
