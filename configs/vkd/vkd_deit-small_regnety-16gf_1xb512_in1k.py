# RegNetY-16GF teaches a DeiT-Small with a convolutional stem by VkD, arXiv:2403.06213
#   python tools/train.py configs/vkd/vkd_deit-small_regnety-16gf_1xb512_in1k.py
# Its figures in the authors' table are in metafile.yml; not yet reproduced.
_base_ = ['../vitkd/vitkd_deit-small_deit3-base_8xb128_in1k.py', './_base_/vkd.py']

model = dict(
    student=_base_.conv_stem_student,
    teacher=_base_.regnety_teacher,
    terms=dict(_delete_=True, **_base_.vkd_terms),
)

# 1 GPU x 512, for which lr = 5e-4 * 512 / 512
train_dataloader = dict(batch_size=512)
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=None)
auto_scale_lr = dict(base_batch_size=512)
param_scheduler = _base_.vkd_scheduler
