# What are 500 more images worth, without their labels? By methods.py's protocol.
_base_ = './methods.py'

title = 'More images, without labels, on digits'
to_beat = 'student alone, 700 labels'
# 57 epochs of 14 steps are as many steps as 200 of 4
every_image = {
    'train_dataloader.dataset.num_labels': 700,
    'train_cfg.max_epochs': 57,
}

methods = [
    dict(name='student alone', config='../digits/digits_student.py'),
    dict(
        name='KD',
        terms_of='../kd/kd_deit-tiny_deit3-small_8xb128_in1k.py',
        weights="half each for labels and teacher, temperature 1, of ViTKD's code",
    ),
    dict(
        name='KD, 700 images, no labels',
        config='kd-without-labels_digits.py',
        options=every_image,
        tuned=[],  # nothing is weighed against it
    ),
    dict(
        name='manifold, 700 images, no labels',
        config='../manifold/manifold_digits.py',
        options=every_image,
        tuned=['manifold'],
        weights="its authors'",
    ),
    dict(
        name='MiniViT, 700 images, no labels',
        config='../minivit/minivit_digits.py',
        options=every_image,
        tuned=['attn', 'hidden'],
        weights="its authors'",
    ),
    dict(
        name='Attention Probe, 700 images, no labels',
        config='../attention_probe/attention-probe_digits.py',
        options=every_image,
        tuned=['probe'],
        differs={'optim_wrapper.paramwise_cfg': "a rate for the teacher's mistakes"},
        weights="its authors'",
    ),
    dict(
        name='student alone, 700 labels',
        config='../digits/digits_student.py',
        options=every_image,
    ),
]
excluded = dict(_delete_=True)
