# RegNetY-600MF and HaloNet-26 teach a DeiT-Tiny with two stems, Co-advise,
# arXiv:2106.12378
#   CONFIG=configs/co_advise/co-advise_deit-tiny_regnety-600mf-halonet26t_8xb128_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
# Not the paper's teachers (README.md), so it has no figure for this trio.
_base_ = [
    '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py',
    './_base_/co_advise_timm.py',
]

model = dict(
    student=_base_.cross_bias_student,
    teacher=None,
    teachers=dict(
        conv=dict(
            # timm fetches its weights from HuggingFace
            cfg=dict(type='TimmClassifier', model_name='regnety_006', pretrained=True),
        ),
        inv=dict(
            cfg=dict(type='TimmClassifier', model_name='halonet26t'),
            checkpoint='https://github.com/huggingface/pytorch-image-models/'
            'releases/download/v0.1-attn-weights/halonet26t_a1h_256-3083328c.pth',
            # its blocks of 8x8 fit no map of a 224x224 image
            input_size=256,
        ),
    ),
    terms=dict(_delete_=True, **_base_.co_advise_terms),
)
optim_wrapper = dict(clip_grad=_base_.co_advise_clip_grad)
