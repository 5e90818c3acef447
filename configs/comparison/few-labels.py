# A quarter of the labelled images: 50, five of each digit. By methods.py's protocol.
_base_ = './methods.py'

title = 'Fifty labelled images, on digits'
to_beat = 'KD'
# 800 epochs of one step are as many steps as 200 of 4
options = {
    '_delete_': True,
    'train_dataloader.dataset.num_labels': 50,
    'train_cfg.max_epochs': 800,
    'train_cfg.val_interval': 200,
}

methods = [
    dict(name='student alone', config='../digits/digits_student.py'),
    dict(
        name='KD',
        terms_of='../kd/kd_deit-tiny_deit3-small_8xb128_in1k.py',
        weights="half each for labels and teacher, temperature 1, of ViTKD's code",
    ),
    dict(
        name="DeiT's token, hard",
        config='../deit_distilled/deit-hard_digits.py',
        differs={'model.student': 'a token and a head for the teacher'},
        weights="DeiT's: half each",
    ),
    dict(
        name='manifold',
        config='../manifold/manifold_digits.py',
        tuned=['manifold'],
        weights="its authors'; no labels",
    ),
    dict(
        name='ViTKD',
        config='../digits/vitkd_digits.py',
        weights="the paper's, scaled to these sums, rounded: 1e-3 and 1e-4",
    ),
]
excluded = dict(_delete_=True)
